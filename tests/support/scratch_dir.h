/* scratch_dir.h: a directory of a test's own, made with mkdtemp under $TMPDIR or /tmp. */
#ifndef WEIR_TESTS_SCRATCH_DIR_H
#define WEIR_TESTS_SCRATCH_DIR_H

/* The path, malloc'ed. Ends the program with a message when it cannot be made. */
char *scratch_dir_create(void);
/* For tests of what is computed, not of what is durable: unless TMPDIR says where, scratch directories go to /dev/shm when there is one, where a flush
 * costs nothing. */
void scratch_dir_in_memory(void);
/* Removes the directory with what it holds and frees the path. With WEIR_KEEP set it stays and its path is printed. */
void scratch_dir_remove(char *path);
/* path/name, malloc'ed; name is printf-like. */
char *scratch_path(const char *path, const char *name, ...) __attribute__((format(printf, 2, 3)));
/* A copy of a tree of plain files and directories (sparse files stay sparse where cp can). */
void scratch_copy(const char *from, const char *to);

#endif
