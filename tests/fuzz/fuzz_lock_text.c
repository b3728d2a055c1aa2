/* fuzz_lock_text.c: any bytes as DIR/LOCK of a directory that somebody holds: what is read of it are texts with an end, in their places. */
#include "log/log.h"
#include "runtime/base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static char directory[64], path[80];
static int held = -1;

static void remove_directory(void)
{
    unlink(path);
    rmdir(directory);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    snprintf(directory, sizeof directory, "/tmp/weir-fuzz-lock-XXXXXX");
    must(mkdtemp(directory) != NULL);
    snprintf(path, sizeof path, "%s/LOCK", directory);
    FILE *file = fopen(path, "w+");
    must(file != NULL && (held = dup(fileno(file))) >= 0 && fclose(file) == 0);
    must(flock(held, LOCK_EX) == 0);
    atexit(remove_directory);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct log_server server;
    must(ftruncate(held, 0) == 0 && pwrite(held, data, size, 0) == (ssize_t)size);
    bool is_served = log_find_server(directory, &server);
    must(memchr(server.kafka, 0, sizeof server.kafka) != NULL);
    must(memchr(server.http, 0, sizeof server.http) != NULL);
    must(memchr(server.security, 0, sizeof server.security) != NULL);
    must(is_served == (server.kafka[0] != '\0'));
    return 0;
}
