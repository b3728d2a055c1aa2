/* state.c: the LMDB environment of one task: open, close, snapshots. Reading: state_read.c.
 *
 * An environment holds two named databases. "data" has the pairs, "meta" one record: format
 * version, plan hash and changelog position. Writing (state_apply.c) changes both in one
 * transaction.
 *
 * Durability. MDB_NOMETASYNC: a commit flushes the data pages and then writes the meta page without
 * waiting for it. A power cut can undo the last commit and never leaves a torn tree, and what was
 * undone is replayed from the changelog. MDB_NOSYNC and MDB_WRITEMAP are never used: the first can
 * corrupt, the second lets a stray pointer write to the file.
 *
 * Threads. MDB_NOTLS ties a read transaction to our handle instead of to a thread. The reading
 * thread works on one snapshot, parked with mdb_txn_reset and taken up with mdb_txn_renew, which
 * costs no allocation and no system call. LMDB itself lets a reader and the writer run side by
 * side; the one thing they must not overlap is a change of the map. Hence the lock `reading`: each
 * reading call holds it, and state_grow takes it, drops the snapshot and remaps. Values are copied
 * out before the lock is released, so nobody keeps a pointer into a map that goes away.
 *
 * Damage. LMDB trusts its file. Three things are added: values carry checksums (state_format.c), a
 * file that was cut short is refused at open, and a process that opens one store twice is refused,
 * because LMDB's own lock would be lost with the first close. What remains: damage to the structure
 * of a page, which LMDB answers with an error or with abort(), never with wrong values.
 *
 * After a failed commit or flush the handle refuses to write (ERR_STOPPED): Linux marks pages clean
 * after a failed fsync, so a second try could succeed without having written anything. Reading goes
 * on; closing and opening again reads what is really there. */
#include "runtime/state/state_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "runtime/base/io.h"

static const size_t MAP_FIRST_BYTES = (size_t)16 << 20;
static const size_t MAP_MIN_BYTES = (size_t)64 << 10;
static const size_t MAP_LIMIT_BYTES = (size_t)64 << 30;
static const size_t DIRTY_LIMIT_BYTES = (size_t)64 << 20, DIRTY_LIMIT_MIN_BYTES = (size_t)1 << 20;
/* Snapshots at once: the owner's, and one for each connection of a server that looks into the store. 64 bytes each. */
enum { READERS_MAX = 500 };
enum { DATABASES_MAX = 2, FILE_MODE = 0644, LMDB_PAGE_MAX_BYTES = 32 << 10 };

static const char DATA_FILE[] = "data.mdb", LOCK_FILE[] = "lock.mdb";
static const char HEADER_KEY[] = "header", DATA_NAME[] = "data";

int state_error(const struct state *state, struct diag *diag, int lmdb_code, const char *what)
{
    int code;
    switch (lmdb_code) {
    case MDB_MAP_FULL:
    case ENOSPC:
    case EDQUOT:
        code = ERR_FULL;
        break;
    case ENOMEM:
        code = ERR_NOMEM;
        break;
    case MDB_TXN_FULL:
        code = ERR_TOO_LARGE;
        break;
    case MDB_READERS_FULL:
        code = ERR_BUSY;
        break;
    case MDB_PANIC:
        code = ERR_STOPPED;
        break;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_INCOMPATIBLE:
    case MDB_CURSOR_FULL:
    case MDB_BAD_TXN:
        code = ERR_CORRUPT;
        break;
    default:
        code = ERR_IO;
        break;
    }
    return diag_set(diag, code, "%s %s: %s%s", what, state->path, mdb_strerror(lmdb_code),
                    lmdb_code == EMFILE ? " (raise the limit: ulimit -n)" : "");
}

/* ---- the registry: one handle per store and process ---- */

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct state *registry_first;

static int registry_add(struct state *state, struct diag *diag)
{
    struct stat status;
    if (stat(state->path, &status) != 0)
        return diag_errno(diag, "cannot examine %s", state->path);
    state->device = status.st_dev;
    state->inode = status.st_ino;
    int rc = 0;
    pthread_mutex_lock(&registry_lock);
    for (struct state *other = registry_first; other != NULL; other = other->next_open)
        if (other->device == state->device && other->inode == state->inode)
            rc = diag_set(diag, ERR_BUSY, "the state store %s is already open in this process",
                          state->path);
    if (rc == 0) {
        state->next_open = registry_first;
        registry_first = state;
    }
    pthread_mutex_unlock(&registry_lock);
    return rc;
}

struct state_link *state_find_link(const char *dir)
{
    struct stat status;
    struct state_link *link = NULL;
    if (stat(dir, &status) != 0)
        return NULL;
    pthread_mutex_lock(&registry_lock);
    for (struct state *state = registry_first; link == NULL && state != NULL;
         state = state->next_open)
        if (state->is_ready && state->device == status.st_dev && state->inode == status.st_ino)
            link = state_link_hold(state->link);
    pthread_mutex_unlock(&registry_lock);
    return link;
}

/* A handle that is read-only and open already, for one more; NULL: there is none. */
static struct state *registry_share(const char *dir)
{
    struct stat status;
    struct state *found = NULL;
    if (stat(dir, &status) != 0)
        return NULL;
    pthread_mutex_lock(&registry_lock);
    for (struct state *state = registry_first; found == NULL && state != NULL;
         state = state->next_open)
        if (state->is_ready && state->read_only && state->device == status.st_dev &&
            state->inode == status.st_ino) {
            state->owners++;
            found = state;
        }
    pthread_mutex_unlock(&registry_lock);
    return found;
}

static void registry_remove(struct state *state)
{
    pthread_mutex_lock(&registry_lock);
    struct state **link = &registry_first;
    while (*link != NULL && *link != state)
        link = &(*link)->next_open;
    if (*link == state)
        *link = state->next_open;
    pthread_mutex_unlock(&registry_lock);
}

/* ---- the directory ---- */

/* ERR_STATE when the directory holds anything that is not a store's. */
static int directory_is_ours(const char *dir, struct diag *diag)
{
    DIR *entries = opendir(dir);
    if (entries == NULL)
        return diag_errno(diag, "cannot read the directory %s", dir);
    int rc = 0;
    for (struct dirent *entry; rc == 0 && (entry = readdir(entries)) != NULL;) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && strcmp(name, DATA_FILE) != 0 &&
            strcmp(name, LOCK_FILE) != 0)
            rc = diag_set(diag, ERR_STATE, "%s holds %s, which is not part of a state store", dir,
                          name);
    }
    closedir(entries);
    return rc;
}

static int data_file_path(const struct state *state, char *path, size_t size, struct diag *diag)
{
    int length = snprintf(path, size, "%s/%s", state->path, DATA_FILE);
    if (length < 0 || (size_t)length >= size)
        return diag_set(diag, ERR_INVALID, "the path %s is too long", state->path);
    return 0;
}

/* Makes sure that there is a directory to open; *file_bytes is the size of its data file, 0 when
 * there is none yet. */
static int directory_prepare(struct state *state, bool may_create, int64_t *file_bytes,
                             struct diag *diag)
{
    char path[PATH_MAX];
    struct stat status;
    TRY(data_file_path(state, path, sizeof path, diag));
    *file_bytes = 0;
    if (stat(path, &status) == 0) {
        *file_bytes = status.st_size;
        return 0;
    }
    if (errno == ENOTDIR)
        return diag_set(diag, ERR_CORRUPT, "%s is not a directory", state->path);
    if (errno != ENOENT)
        return diag_errno(diag, "cannot examine %s", path);
    if (!may_create)
        return diag_set(diag, ERR_NOT_FOUND, "there is no state store in %s", state->path);
    TRY(io_mkdirs(state->path, diag));
    if (directory_is_ours(state->path, diag) < 0)
        return diag != NULL && diag->code == ERR_IO ? ERR_IO
                                                    : diag_set(diag, ERR_CORRUPT,
                                                               "%s is not the directory of a state "
                                                               "store: it has other files",
                                                               state->path);
    return 0;
}

/* ---- open ---- */

static size_t first_map_bytes(const struct state *state, const struct state_options *options,
                              int64_t file_bytes)
{
    size_t map = options->map_bytes != 0 ? options->map_bytes : MAP_FIRST_BYTES;
    if (map < MAP_MIN_BYTES)
        map = MAP_MIN_BYTES;
    while (map < (size_t)file_bytes && map < state->map_limit_bytes)
        map *= 2;
    if (map > state->map_limit_bytes)
        map = state->map_limit_bytes;
    return (map + state->page_bytes - 1) / state->page_bytes * state->page_bytes;
}

int state_commit(struct state *state, MDB_txn *txn)
{
    int rc = io_ask(IO_COMMIT, state->path);
    if (rc == 0)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return rc;
}

int state_sync(struct state *state)
{
    int rc = io_ask(IO_FDATASYNC, state->path);
    return rc != 0 || !io_flushing() ? rc : mdb_env_sync(state->env, 1);
}

static int environment_open(struct state *state, size_t map_bytes, struct diag *diag)
{
    int rc = mdb_env_create(&state->env);
    if (rc != 0)
        return state_error(state, diag, rc, "cannot create an LMDB environment for");
    rc = mdb_env_set_maxdbs(state->env, DATABASES_MAX);
    if (rc == 0)
        rc = mdb_env_set_maxreaders(state->env, READERS_MAX);
    if (rc == 0)
        rc = mdb_env_set_mapsize(state->env, map_bytes);
    unsigned flags = MDB_NOTLS | MDB_NOMETASYNC | (state->read_only ? MDB_RDONLY : 0) |
                     (io_flushing() ? 0 : MDB_NOSYNC);
    if (rc == 0 && !state->read_only)
        rc = io_ask(IO_MAP, state->path);
    if (rc == 0)
        rc = mdb_env_open(state->env, state->path, flags, FILE_MODE);
    if (rc != 0)
        return state_error(state, diag, rc, "cannot open the state store");
    MDB_stat pages;
    mdb_env_stat(state->env, &pages);
    state->page_bytes = pages.ms_psize;
    int dead;
    rc = mdb_reader_check(state->env, &dead); /* readers that a kill left behind pin old pages */
    if (rc != 0)
        return state_error(state, diag, rc, "cannot check the readers of");
    if (dead > 0)
        log_line('I', "state store %s: cleared %d dead readers", state->path, dead);
    return 0;
}

/* How far the file must reach for every page that LMDB may look at. */
static int64_t file_bytes_needed(const struct state *state)
{
    MDB_envinfo info;
    mdb_env_info(state->env, &info);
    return (int64_t)(info.me_last_pgno + 1) * (int64_t)state->page_bytes;
}

/* A cut file would end this process with SIGBUS at the first missing page. */
static int environment_check_size(struct state *state, struct diag *diag)
{
    int fd;
    int64_t size, needed = file_bytes_needed(state);
    int rc = mdb_env_get_fd(state->env, &fd);
    if (rc != 0)
        return state_error(state, diag, rc, "cannot open the state store");
    TRY(io_file_size(fd, &size, diag));
    return size >= needed
               ? 0
               : diag_set(diag, ERR_CORRUPT, "%s/%s has %lld bytes where its header speaks of %lld",
                          state->path, DATA_FILE, (long long)size, (long long)needed);
}

int state_fill_up(struct state *state, struct diag *diag)
{
    int fd;
    int64_t size, needed = file_bytes_needed(state);
    int rc = mdb_env_get_fd(state->env, &fd);
    if (rc != 0)
        return state_error(state, diag, rc, "cannot write to");
    TRY(io_file_size(fd, &size, diag));
    return size < needed ? io_truncate(fd, needed, diag) : 0;
}

int state_read_header(struct state *state, MDB_txn *txn, struct state_header *header,
                      struct diag *diag)
{
    MDB_val key = {sizeof HEADER_KEY - 1, (void *)(uintptr_t)HEADER_KEY}, value;
    int rc = mdb_get(txn, state->meta, &key, &value);
    if (rc == MDB_NOTFOUND)
        return diag_set(diag, ERR_CORRUPT, "the state store %s has no header", state->path);
    if (rc != 0)
        return state_error(state, diag, rc, "cannot read the header of");
    struct diag reason = {0};
    rc = state_header_decode(bytes_of(value.mv_data, value.mv_size), header, &reason);
    return rc == 0 ? 0 : diag_set(diag, rc, "state store %s: %s", state->path, reason.text);
}

/* Opens the named databases inside txn. *fresh: there are none and nothing else either. */
static int databases_open(struct state *state, MDB_txn *txn, bool *fresh, struct diag *diag)
{
    *fresh = false;
    int rc = mdb_dbi_open(txn, NULL, 0, &state->unnamed);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "meta", 0, &state->meta);
    if (rc == MDB_NOTFOUND) {
        MDB_stat contents;
        rc = mdb_stat(txn, state->unnamed, &contents);
        if (rc != 0)
            return state_error(state, diag, rc, "cannot read the databases of");
        *fresh = contents.ms_entries == 0;
        return *fresh
                   ? 0
                   : diag_set(diag, ERR_CORRUPT,
                              "%s is an LMDB environment, but not a weir state store", state->path);
    }
    if (rc == 0)
        rc = mdb_dbi_open(txn, DATA_NAME, 0, &state->data);
    if (rc == MDB_NOTFOUND || rc == MDB_INCOMPATIBLE)
        return diag_set(diag, ERR_CORRUPT, "%s is an LMDB environment, but not a weir state store",
                        state->path);
    return rc == 0 ? 0 : state_error(state, diag, rc, "cannot read the databases of");
}

static int check_plan(struct state *state, const struct state_header *header, struct diag *diag)
{
    bool any = state->read_only && state->plan_hash == 0;
    if (!any && header->plan_hash != state->plan_hash)
        return diag_set(diag, ERR_STATE,
                        "the state store %s was written by another plan (%016llx, not %016llx): "
                        "rebuild it from the changelog",
                        state->path, (unsigned long long)header->plan_hash,
                        (unsigned long long)state->plan_hash);
    state->position = header->position;
    state->stored_hash = header->plan_hash;
    return 0;
}

static int existing_open(struct state *state, bool *fresh, struct diag *diag)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(state->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return state_error(state, diag, rc, "cannot read");
    struct state_header header;
    rc = databases_open(state, txn, fresh, diag);
    if (rc == 0 && !*fresh)
        rc = state_read_header(state, txn, &header, diag);
    if (rc == 0 && !*fresh)
        rc = check_plan(state, &header, diag);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    rc = mdb_txn_commit(txn); /* of a read transaction: keeps the database handles */
    return rc == 0 ? 0 : state_error(state, diag, rc, "cannot read");
}

/* Creates both databases and the header in one transaction: a crash leaves all of it or an empty
 * environment. */
static int fresh_create(struct state *state, struct diag *diag)
{
    uint8_t bytes[STATE_HEADER_BYTES];
    state_header_encode(&(struct state_header){.plan_hash = state->plan_hash}, bytes);
    MDB_val key = {sizeof HEADER_KEY - 1, (void *)(uintptr_t)HEADER_KEY},
            value = {sizeof bytes, bytes};
    MDB_txn *txn;
    int rc = mdb_txn_begin(state->env, NULL, 0, &txn);
    if (rc != 0)
        return state_error(state, diag, rc, "cannot write to");
    rc = mdb_dbi_open(txn, DATA_NAME, MDB_CREATE, &state->data);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "meta", MDB_CREATE, &state->meta);
    if (rc == 0)
        rc = mdb_put(txn, state->meta, &key, &value, 0);
    if (rc == 0)
        rc = state_commit(state, txn);
    else
        mdb_txn_abort(txn);
    if (rc == 0)
        rc = state_sync(state);
    if (rc != 0)
        return state_error(state, diag, rc, "cannot create the databases of");
    return io_fsync_dir(state->path, diag); /* the new files' names */
}

static int state_open_steps(struct state *state, const struct state_options *options,
                            struct diag *diag)
{
    bool may_create = !options->must_exist && !options->read_only, fresh = false;
    int64_t file_bytes;
    struct diag own = {0};
    diag = diag != NULL ? diag : &own;
    TRY(directory_prepare(state, may_create, &file_bytes, diag));
    TRY(registry_add(state, diag));
    TRY(environment_open(state, first_map_bytes(state, options, file_bytes), diag));
    TRY(environment_check_size(state, diag));
    TRY(existing_open(state, &fresh, diag));
    if (!fresh)
        return 0;
    if (!may_create)
        return diag_set(diag, ERR_NOT_FOUND, "the state store %s is empty", state->path);
    return fresh_create(state, diag);
}

static int reading_lock_init(pthread_mutex_t *lock)
{
    pthread_mutexattr_t attributes;
    if (pthread_mutexattr_init(&attributes) != 0)
        return ERR_NOMEM;
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    int rc = pthread_mutex_init(lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
    return rc == 0 ? 0 : ERR_NOMEM;
}

/* Of a handle that is open: whether the one more means the same. */
static int check_shared(struct state **state, uint64_t plan_hash, struct diag *diag)
{
    if (plan_hash == 0 || plan_hash == (*state)->stored_hash)
        return 0;
    int rc =
        diag_set(diag, ERR_STATE, "the state store %s was written by another plan", (*state)->path);
    state_close(*state);
    *state = NULL;
    return rc;
}

int state_open(const char *dir, uint64_t plan_hash, const struct state_options *options,
               struct state **out, struct diag *diag)
{
    static const struct state_options defaults;
    if (options == NULL)
        options = &defaults;
    *out = NULL;
    if (options->read_only && (*out = registry_share(dir)) != NULL)
        return check_shared(out, plan_hash, diag);
    struct state *state = calloc(1, sizeof *state);
    char *path = strdup(dir);
    if (state == NULL || path == NULL || reading_lock_init(&state->reading) != 0) {
        free(state);
        free(path);
        return diag_set(diag, ERR_NOMEM, "no memory to open the state store %s", dir);
    }
    state->path = path;
    state->link = state_link_create(state);
    state->plan_hash = plan_hash;
    state->dirty_limit_bytes =
        options->dirty_limit_bytes != 0 ? options->dirty_limit_bytes : DIRTY_LIMIT_BYTES;
    if (state->dirty_limit_bytes < DIRTY_LIMIT_MIN_BYTES)
        state->dirty_limit_bytes = DIRTY_LIMIT_MIN_BYTES;
    state->read_only = options->read_only;
    state->page_bytes = (size_t)sysconf(_SC_PAGESIZE); /* LMDB's page size, up to 32 KiB */
    if (state->page_bytes > LMDB_PAGE_MAX_BYTES)
        state->page_bytes = LMDB_PAGE_MAX_BYTES;
    state->map_limit_bytes =
        options->map_limit_bytes != 0 ? options->map_limit_bytes : MAP_LIMIT_BYTES;
    if (state->map_limit_bytes < MAP_MIN_BYTES)
        state->map_limit_bytes = MAP_MIN_BYTES;
    int rc = state->link != NULL
                 ? state_open_steps(state, options, diag)
                 : diag_set(diag, ERR_NOMEM, "no memory to open the state store %s", dir);
    if (rc != 0) {
        state_close(state);
        return rc;
    }
    pthread_mutex_lock(&registry_lock);
    state->is_ready = true;
    state->owners = 1;
    pthread_mutex_unlock(&registry_lock);
    *out = state;
    return 0;
}

/* The last owner lets go: nobody finds it any more; its directory is taken until it is closed. */
static bool registry_let_go(struct state *state)
{
    pthread_mutex_lock(&registry_lock);
    bool is_last = state->owners == 0 || --state->owners == 0;
    if (is_last)
        state->is_ready = false;
    pthread_mutex_unlock(&registry_lock);
    return is_last;
}

void state_close(struct state *state)
{
    if (state == NULL || !registry_let_go(state))
        return;
    if (state->link != NULL) {
        state_link_stop(state->link, true);
        state_link_resume(state->link);
        state_link_drop(state->link);
    }
    state_batch_drop(&state->batch);
    if (state->snapshot != NULL)
        mdb_txn_abort(state->snapshot);
    if (state->env != NULL)
        mdb_env_close(state->env);
    registry_remove(state);
    pthread_mutex_destroy(&state->reading);
    free(state->path);
    free(state);
}

int state_destroy(const char *dir, struct diag *diag)
{
    struct stat status;
    if (lstat(dir, &status) != 0)
        return errno == ENOENT ? 0 : diag_errno(diag, "cannot examine %s", dir);
    if (!S_ISDIR(status.st_mode))
        return diag_set(diag, ERR_STATE, "%s is not a directory", dir);
    TRY(directory_is_ours(dir, diag));
    return io_remove_tree(dir, diag);
}

/* ---- snapshots ---- */

/* Begins or renews the read transaction; another process may have enlarged the map meanwhile. */
static int snapshot_begin(struct state *state)
{
    for (int attempt = 0;; attempt++) {
        int rc = state->snapshot == NULL
                     ? mdb_txn_begin(state->env, NULL, MDB_RDONLY, &state->snapshot)
                     : mdb_txn_renew(state->snapshot);
        if (rc != MDB_MAP_RESIZED || attempt == 3)
            return rc;
        rc = mdb_env_set_mapsize(state->env, 0);
        if (rc != 0) {
            state->map_lost = true;
            return rc;
        }
    }
}

static void snapshot_park(struct state *state)
{
    if (state->snapshot_live)
        mdb_txn_reset(state->snapshot);
    state->snapshot_live = false;
}

/* Where the tree of pairs begins in this snapshot: the unnamed database says it. */
static void find_tree(struct state *state)
{
    MDB_val key = {sizeof DATA_NAME - 1, (void *)(uintptr_t)DATA_NAME}, record;
    MDB_envinfo info;
    state->tree = (struct tree){.map = NULL};
    mdb_env_info(state->env, &info);
    if (mdb_get(state->snapshot, state->unnamed, &key, &record) == 0)
        (void)tree_init(&state->tree, bytes_of(record.mv_data, record.mv_size), state->page_bytes,
                        info.me_last_pgno + 1);
}

int state_snapshot_take(struct state *state, struct diag *diag)
{
    if (state->snapshot_live)
        return 0;
    if (state->map_lost)
        return diag_set(diag, ERR_STOPPED, "the map of the state store %s is lost", state->path);
    int rc = snapshot_begin(state);
    if (rc != 0)
        return state_error(state, diag, rc, "cannot take a snapshot of");
    state->snapshot_live = true;
    struct state_header header;
    rc = state_read_header(state, state->snapshot, &header, diag);
    if (rc != 0) {
        snapshot_park(state);
        return rc;
    }
    state->position = header.position;
    find_tree(state);
    return 0;
}

void state_position(struct state *state, struct state_position *position)
{
    pthread_mutex_lock(&state->reading);
    struct diag diag = {0};
    if (state_snapshot_take(state, &diag) < 0)
        log_line('W', "%s; the last known position stays in use", diag.text);
    *position = state->position;
    pthread_mutex_unlock(&state->reading);
}

int state_renew(struct state *state, struct diag *diag)
{
    pthread_mutex_lock(&state->reading);
    must(state->scans_running == 0);
    if (state->snapshot_live) {
        MDB_envinfo info;
        mdb_env_info(state->env, &info);
        if (info.me_last_txnid != mdb_txn_id(state->snapshot))
            snapshot_park(state);
    }
    int rc = state_snapshot_take(state, diag);
    pthread_mutex_unlock(&state->reading);
    return rc;
}

void state_release(struct state *state)
{
    pthread_mutex_lock(&state->reading);
    must(state->scans_running == 0);
    snapshot_park(state);
    pthread_mutex_unlock(&state->reading);
}

int state_grow(struct state *state, size_t wanted_bytes, struct diag *diag)
{
    MDB_envinfo info;
    mdb_env_info(state->env, &info);
    size_t map = info.me_mapsize;
    if (map >= state->map_limit_bytes)
        return diag_set(diag, ERR_FULL, "the state store %s has reached its limit of %zu bytes",
                        state->path, state->map_limit_bytes);
    do
        map = map > state->map_limit_bytes / 2 ? state->map_limit_bytes : map * 2;
    while (map < wanted_bytes && map < state->map_limit_bytes);
    map = map / state->page_bytes * state->page_bytes;
    if (map <= info.me_mapsize)
        return diag_set(diag, ERR_FULL, "the state store %s has reached its limit of %zu bytes",
                        state->path, state->map_limit_bytes);
    state_link_stop(state->link, false);
    pthread_mutex_lock(&state->reading);
    snapshot_park(state);
    int rc = mdb_env_set_mapsize(state->env, map);
    if (rc != 0)
        state->map_lost = true;
    pthread_mutex_unlock(&state->reading);
    state_link_resume(state->link);
    if (rc != 0) {
        state->failed = true;
        return state_error(state, diag, rc, "cannot enlarge the map of");
    }
    return 0;
}
