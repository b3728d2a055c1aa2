/* scratch_dir.c: see the header. Removal goes through the same io_remove_tree that the product
 * uses; copies go through cp(1), because LMDB's data file is sparse and a byte-wise copy would fill
 * it. */
#include "tests/support/scratch_dir.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/io.h"

static char *format(const char *text, va_list arguments)
{
    char *out = NULL;
    must(vasprintf(&out, text, arguments) >= 0);
    return out;
}

char *scratch_path(const char *path, const char *name, ...)
{
    va_list arguments;
    va_start(arguments, name);
    char *tail = format(name, arguments), *out = NULL;
    va_end(arguments);
    must(asprintf(&out, "%s/%s", path, tail) >= 0);
    free(tail);
    return out;
}

char *scratch_dir_create(void)
{
    const char *parent = getenv("TMPDIR");
    char *path =
        scratch_path(parent != NULL && parent[0] != '\0' ? parent : "/tmp", "weir-test-XXXXXX");
    if (mkdtemp(path) == NULL) {
        perror(path);
        exit(2);
    }
    return path;
}

void scratch_dir_in_memory(void)
{
    if (access("/dev/shm", W_OK | X_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
}

void scratch_dir_remove(char *path)
{
    struct diag diag;
    if (getenv("WEIR_KEEP") != NULL)
        fprintf(stderr, "kept %s\n", path);
    else if (io_remove_tree(path, &diag) < 0)
        fprintf(stderr, "%s\n", diag.text);
    free(path);
}

void scratch_copy(const char *from, const char *to)
{
    pid_t child = fork();
    must(child >= 0);
    if (child == 0) {
        execlp("cp", "cp", "-a", "--sparse=always", "--", from, to, (char *)NULL);
        _exit(127);
    }
    int status;
    must(waitpid(child, &status, 0) == child);
    must(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
