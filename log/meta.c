/* meta.c: the LMDB environment in DIR/meta.
 *
 * LMDB is used as a small, always fully synced store for facts that must change atomically: a
 * decision, the offsets that go with it and the next set of participants are one transaction. What
 * LMDB needs from us:
 *
 *   - Its pages carry no checksum. Each value ends in 8 bytes XXH3 over table, key and value,
 * little use against an attacker, enough against a flipped bit or a page that is another's.
 *   - The map has a fixed size. A full map is not an error to callers: the transaction is dropped,
 * the map doubled while no transaction lives (resize_lock held exclusively), and the whole batch
 * applied again. That is why writes are lists of operations and not callbacks with side effects.
 *   - After a failed sync the environment still works, and would acknowledge later commits on top
 * of pages that never reached the disk. We report ERR_IO and the log stops its writer.
 *   - On a full disk a write may be cut short, and LMDB reports that as EIO, which is what a failed sync is
 * reported as too. So room is made sure of before: the file has blocks for more pages than the transaction can
 * touch, holes included (reserve_pages). What finds no room is ERR_FULL, and nothing has happened; that also
 * holds for an ENOSPC from LMDB, which comes before the meta page is touched.
 *   - NOTLS, because read transactions are opened by threads we do not own; readers are as short as
 * one scan.
 *
 * One writer at a time (LMDB's own mutex); any number of readers. */
#include "log/meta.h"
#include "runtime/base/hash.h"
#include "runtime/base/io.h"

#include <errno.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHECKSUM_BYTES = 8,
    OPERATION_HEADER_BYTES = 8, /* table, is delete, u16 key size, u32 value size */
    KEY_LIMIT_BYTES = 511,
    READER_COUNT =
        500, /* read transactions at once: the log's own threads, and whoever asks over HTTP or the API */
    PAGES_PER_OPERATION = 8, /* a path to a leaf, and splits on the way */
    PAGES_BESIDE = 64,       /* the list of free pages, the trees' roots */
    RESERVE_STEP_BYTES = 256 << 10
};
#define MAP_FIRST_BYTES ((size_t)64 << 20)

static const char *const table_names[META_TABLE_COUNT] = {
    [META_TOPICS] = "topics",
    [META_PARTITIONS] = "partitions",
    [META_STARTS] = "starts",
    [META_SEGMENTS] = "segments",
    [META_ABORTED] = "aborted",
    [META_PRODUCERS] = "producers",
    [META_PARTICIPANTS] = "participants",
    [META_DECISIONS] = "decisions",
    [META_OFFSETS] = "offsets",
    [META_COUNTERS] = "counters",
    [META_CLEANED] = "cleaned",
    [META_GROUPS] = "groups",
    [META_TRUNCATIONS] = "truncations",
    [META_USERS] = "users",
    [META_ACLS] = "acls",
    [META_TXN_OFFSETS] = "txn-offsets",
};

struct meta {
    MDB_env *env;
    MDB_dbi tables[META_TABLE_COUNT];
    bool is_there[META_TABLE_COUNT]; /* a directory of an older version may lack some, and take none
                                      */
    bool read_only;
    int64_t reserved_bytes;       /* the file has blocks up to here; LMDB's writer lock guards it */
    pthread_rwlock_t resize_lock; /* shared: a transaction lives; exclusive: the map changes */
    char path[4096];
};

static int report(const struct meta *meta, int lmdb_code, const char *what, struct diag *diag)
{
    int code = lmdb_code == ENOSPC || lmdb_code == EDQUOT             ? ERR_FULL
               : lmdb_code == ENOMEM || lmdb_code == MDB_READERS_FULL ? ERR_NOMEM
               : lmdb_code == MDB_CORRUPTED || lmdb_code == MDB_PAGE_NOTFOUND ||
                       lmdb_code == MDB_INVALID || lmdb_code == MDB_VERSION_MISMATCH
                   ? ERR_CORRUPT
                   : ERR_IO;
    return diag_set(diag, code, "cannot %s %s: %s", what, meta->path, mdb_strerror(lmdb_code));
}

/* Commits or, where the fault hook says so, does not; txn is gone either way. */
static int commit(struct meta *meta, MDB_txn *txn)
{
    int code = meta->read_only ? 0 : io_ask(IO_COMMIT, meta->path);
    if (code == 0)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return code;
}

static int open_tables(struct meta *meta, struct diag *diag)
{
    MDB_txn *txn;
    int code = mdb_txn_begin(meta->env, NULL, meta->read_only ? MDB_RDONLY : 0, &txn);
    if (code != 0)
        return report(meta, code, "open", diag);
    for (int i = 0; code == 0 && i < META_TABLE_COUNT; i++) {
        code =
            mdb_dbi_open(txn, table_names[i], meta->read_only ? 0 : MDB_CREATE, &meta->tables[i]);
        meta->is_there[i] = code == 0;
        if (meta->read_only && code == MDB_NOTFOUND)
            code = 0;
    }
    if (code == 0)
        code = commit(meta, txn);
    else
        mdb_txn_abort(txn);
    return code == 0 ? 0 : report(meta, code, "open", diag);
}

static int open_environment(struct meta *meta, size_t map_bytes, struct diag *diag)
{
    int code = mdb_env_create(&meta->env);
    if (code != 0) {
        meta->env = NULL;
        return report(meta, code, "open", diag);
    }
    if (code == 0)
        code = mdb_env_set_maxdbs(meta->env, META_TABLE_COUNT);
    if (code == 0)
        code = mdb_env_set_maxreaders(meta->env, READER_COUNT);
    if (code == 0)
        code = mdb_env_set_mapsize(meta->env, map_bytes != 0 ? map_bytes : MAP_FIRST_BYTES);
    if (code == 0 && !meta->read_only)
        code = io_ask(IO_MAP, meta->path);
    unsigned flags = MDB_NOTLS | (meta->read_only ? MDB_RDONLY | MDB_NOLOCK : 0) |
                     (io_flushing() ? 0 : MDB_NOSYNC);
    if (code == 0)
        code = mdb_env_open(meta->env, meta->path, flags, 0644);
    if (code == 0) {
        /* The map as stored may be larger than asked for: take over its size. */
        code = mdb_env_set_mapsize(meta->env, 0);
    }
    if (code != 0)
        return report(meta, code, "open", diag);
    int dead;
    if (!meta->read_only)
        mdb_reader_check(meta->env, &dead); /* slots of processes that were killed */
    return open_tables(meta, diag);
}

static int open_meta(const char *dir, size_t map_bytes, bool read_only, struct meta **out,
                     struct diag *diag)
{
    *out = NULL;
    struct meta *meta = calloc(1, sizeof *meta);
    if (meta == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory to open %s", dir);
    pthread_rwlock_init(&meta->resize_lock, NULL);
    meta->read_only = read_only;
    int rc = 0;
    if (strlen(dir) >= sizeof meta->path)
        rc = diag_set(diag, ERR_INVALID, "path too long: %s", dir);
    else
        memcpy(meta->path, dir, strlen(dir) + 1);
    if (rc == 0)
        rc = open_environment(meta, map_bytes, diag);
    if (rc == 0 && !read_only)
        rc = io_fsync_dir(dir, diag); /* data.mdb itself must survive */
    if (rc < 0) {
        meta_close(meta);
        return rc;
    }
    *out = meta;
    return 0;
}

int meta_open(const char *dir, size_t map_bytes, struct meta **meta, struct diag *diag)
{
    *meta = NULL;
    TRY(io_mkdir(dir, diag));
    return open_meta(dir, map_bytes, false, meta, diag);
}

int meta_open_read_only(const char *dir, struct meta **meta, struct diag *diag)
{
    return open_meta(dir, 0, true, meta, diag);
}

void meta_close(struct meta *meta)
{
    if (meta == NULL)
        return;
    if (meta->env != NULL)
        mdb_env_close(meta->env);
    pthread_rwlock_destroy(&meta->resize_lock);
    free(meta);
}

/* ---- batches ---- */

void meta_batch_init(struct meta_batch *batch)
{
    buf_init(&batch->operations, 0);
    batch->count = 0;
}

void meta_batch_deinit(struct meta_batch *batch)
{
    buf_deinit(&batch->operations);
}

void meta_batch_clear(struct meta_batch *batch)
{
    buf_clear(&batch->operations);
    batch->count = 0;
}

void meta_batch_join(struct meta_batch *batch, const struct meta_batch *other)
{
    if (!buf_ok(&other->operations))
        batch->operations.failed = true;
    if (other->operations.size > 0)
        buf_append(&batch->operations, other->operations.data, other->operations.size);
    batch->count += other->count;
}

static uint64_t checksum_of(enum meta_table table, const uint8_t *key, size_t key_size,
                            const uint8_t *value, size_t value_size)
{
    /* Two hashes joined: no copy of key and value into one range is needed. */
    uint8_t parts[17];
    parts[0] = (uint8_t)table;
    store_be64(parts + 1, hash64(key, key_size));
    store_be64(parts + 9, hash64(value, value_size));
    return hash64(parts, sizeof parts);
}

void meta_put(struct meta_batch *batch, enum meta_table table, struct bytes key, struct bytes value)
{
    must(key.size > 0 && key.size <= KEY_LIMIT_BYTES);
    buf_u8(&batch->operations, (uint8_t)table);
    buf_u8(&batch->operations, 0);
    buf_be16(&batch->operations, (uint16_t)key.size);
    buf_be32(&batch->operations, (uint32_t)(value.size + CHECKSUM_BYTES));
    buf_append_bytes(&batch->operations, key);
    buf_append_bytes(&batch->operations, value);
    buf_be64(&batch->operations, checksum_of(table, key.data, key.size, value.data, value.size));
    batch->count++;
}

void meta_delete(struct meta_batch *batch, enum meta_table table, struct bytes key)
{
    must(key.size > 0 && key.size <= KEY_LIMIT_BYTES);
    buf_u8(&batch->operations, (uint8_t)table);
    buf_u8(&batch->operations, 1);
    buf_be16(&batch->operations, (uint16_t)key.size);
    buf_be32(&batch->operations, 0);
    buf_append_bytes(&batch->operations, key);
    batch->count++;
}

/* ---- applying ---- */

static int apply_one(struct meta *meta, MDB_txn *txn, struct bytes *rest)
{
    must(rest->size >= OPERATION_HEADER_BYTES);
    enum meta_table table = (enum meta_table)rest->data[0];
    bool is_delete = rest->data[1] == 1;
    size_t key_size = load_be16(rest->data + 2), value_size = load_be32(rest->data + 4);
    must(rest->size - OPERATION_HEADER_BYTES >= key_size + value_size);
    const uint8_t *at = rest->data + OPERATION_HEADER_BYTES;
    MDB_val key = {key_size, (void *)(uintptr_t)at};
    MDB_val value = {value_size, (void *)(uintptr_t)(at + key_size)};
    rest->data = at + key_size + value_size;
    rest->size -= OPERATION_HEADER_BYTES + key_size + value_size;
    if (!is_delete)
        return mdb_put(txn, meta->tables[table], &key, &value, 0);
    int code = mdb_del(txn, meta->tables[table], &key, NULL);
    return code == MDB_NOTFOUND ? 0 : code;
}

bool meta_next_operation(struct bytes *rest, struct meta_operation *operation)
{
    if (rest->size == 0)
        return false;
    must(rest->size >= OPERATION_HEADER_BYTES);
    size_t key_size = load_be16(rest->data + 2), value_size = load_be32(rest->data + 4);
    size_t size = OPERATION_HEADER_BYTES + key_size + value_size;
    must(rest->size >= size);
    bool is_delete = rest->data[1] == 1;
    const uint8_t *key = rest->data + OPERATION_HEADER_BYTES;
    *operation = (struct meta_operation){
        .table = (enum meta_table)rest->data[0],
        .is_delete = is_delete,
        .key = bytes_of(key, key_size),
        .value = bytes_of(key + key_size, is_delete ? 0 : value_size - CHECKSUM_BYTES)};
    *rest = bytes_of(rest->data + size, rest->size - size);
    return true;
}

bool meta_batch_names(const struct meta_batch *batch, enum meta_table table, struct bytes key)
{
    struct bytes rest = bytes_of(batch->operations.data, batch->operations.size);
    struct meta_operation operation;
    while (meta_next_operation(&rest, &operation))
        if (operation.table == table && bytes_equal(operation.key, key))
            return true;
    return false;
}

/* Blocks for every page that batch may write: copies of old ones, and new ones. Inside a write transaction. */
static int reserve_pages(struct meta *meta, const struct meta_batch *batch)
{
    MDB_envinfo info;
    MDB_stat stat;
    int fd;
    mdb_env_info(meta->env, &info);
    mdb_env_stat(meta->env, &stat);
    int64_t page = stat.ms_psize, used = (int64_t)info.me_last_pgno + 1;
    int64_t touched = PAGES_PER_OPERATION * (int64_t)batch->count;
    if (touched > used)
        touched = used; /* no more than there are */
    int64_t end =
        (used + touched + PAGES_BESIDE + 3 * (int64_t)batch->operations.size / page) * page;
    if (end > (int64_t)info.me_mapsize)
        end = (int64_t)info.me_mapsize; /* beyond it comes MDB_MAP_FULL */
    if (end <= meta->reserved_bytes || mdb_env_get_fd(meta->env, &fd) != 0)
        return 0;
    int64_t from = meta->reserved_bytes, ahead = end + RESERVE_STEP_BYTES;
    int rc = io_reserve(fd, from, ahead - from, NULL);
    if (rc == ERR_FULL) {
        ahead = end;
        rc = io_reserve(fd, from, end - from, NULL);
    }
    if (rc == ERR_FULL)
        return ENOSPC;
    if (rc == 0)
        meta->reserved_bytes = ahead;
    return 0; /* a file system that cannot: its own errors decide */
}

static int apply_all(struct meta *meta, const struct meta_batch *batch)
{
    MDB_txn *txn;
    int code = mdb_txn_begin(meta->env, NULL, 0, &txn);
    if (code != 0)
        return code;
    code = reserve_pages(meta, batch);
    struct bytes rest = bytes_of(batch->operations.data, batch->operations.size);
    while (code == 0 && rest.size > 0)
        code = apply_one(meta, txn, &rest);
    if (code != 0) {
        mdb_txn_abort(txn);
        return code;
    }
    return commit(meta, txn);
}

static int grow_map(struct meta *meta)
{
    pthread_rwlock_wrlock(&meta->resize_lock);
    MDB_envinfo info;
    mdb_env_info(meta->env, &info);
    int code = mdb_env_set_mapsize(meta->env, info.me_mapsize * 2);
    pthread_rwlock_unlock(&meta->resize_lock);
    return code;
}

int meta_apply(struct meta *meta, const struct meta_batch *batch, struct diag *diag)
{
    if (!buf_ok(&batch->operations))
        return diag_set(diag, ERR_NOMEM, "no memory for a write to %s", meta->path);
    if (batch->count == 0)
        return 0;
    if (meta->read_only)
        return diag_set(diag, ERR_READ_ONLY, "%s is open for reading only", meta->path);
    for (;;) {
        pthread_rwlock_rdlock(&meta->resize_lock);
        int code = apply_all(meta, batch);
        pthread_rwlock_unlock(&meta->resize_lock);
        if (code == MDB_MAP_FULL)
            code = grow_map(meta);
        else if (code == 0)
            return 0;
        if (code != 0)
            return report(meta, code, "write to", diag);
    }
}

/* ---- reading ---- */

static int check_value(const struct meta *meta, enum meta_table table, const MDB_val *key,
                       const MDB_val *stored, struct bytes *value, struct diag *diag)
{
    if (stored->mv_size >= CHECKSUM_BYTES) {
        *value = bytes_of(stored->mv_data, stored->mv_size - CHECKSUM_BYTES);
        uint64_t sum = checksum_of(table, key->mv_data, key->mv_size, value->data, value->size);
        if (sum == load_be64(value->data + value->size))
            return 0;
    }
    char name[2 * 32 + 1];
    size_t shown = key->mv_size < 32 ? key->mv_size : 32;
    for (size_t i = 0; i < shown; i++) {
        static const char digits[] = "0123456789abcdef";
        uint8_t byte = ((const uint8_t *)key->mv_data)[i];
        name[2 * i] = digits[byte >> 4];
        name[2 * i + 1] = digits[byte & 15];
    }
    name[2 * shown] = '\0';
    return diag_set(diag, ERR_CORRUPT, "%s: the entry 0x%s of table %s fails its checksum",
                    meta->path, name, table_names[table]);
}

int meta_get(struct meta *meta, enum meta_table table, struct bytes key, struct buf *value,
             struct diag *diag)
{
    buf_clear(value);
    if (key.size == 0 || key.size > KEY_LIMIT_BYTES || !meta->is_there[table])
        return diag_set(diag, ERR_NOT_FOUND, "no such entry in table %s", table_names[table]);
    pthread_rwlock_rdlock(&meta->resize_lock);
    MDB_txn *txn = NULL;
    MDB_val name = {key.size, (void *)(uintptr_t)key.data}, stored;
    int rc = 0, code = mdb_txn_begin(meta->env, NULL, MDB_RDONLY, &txn);
    if (code == 0)
        code = mdb_get(txn, meta->tables[table], &name, &stored);
    if (code == 0) {
        struct bytes plain;
        rc = check_value(meta, table, &name, &stored, &plain, diag);
        if (rc == 0)
            buf_append_bytes(value, plain);
        if (rc == 0 && !buf_ok(value))
            rc = diag_set(diag, ERR_NOMEM, "no memory to read %s", meta->path);
    } else if (code == MDB_NOTFOUND) {
        rc = diag_set(diag, ERR_NOT_FOUND, "no such entry in table %s", table_names[table]);
    } else {
        rc = report(meta, code, "read", diag);
    }
    if (txn != NULL)
        mdb_txn_abort(txn);
    pthread_rwlock_unlock(&meta->resize_lock);
    return rc;
}

static bool has_prefix(const MDB_val *key, struct bytes prefix)
{
    return key->mv_size >= prefix.size &&
           (prefix.size == 0 || memcmp(key->mv_data, prefix.data, prefix.size) == 0);
}

static int scan_cursor(struct meta *meta, MDB_cursor *cursor, enum meta_table table,
                       struct bytes prefix, meta_scan_fn fn, void *context, struct diag *diag)
{
    MDB_val key = {prefix.size, (void *)(uintptr_t)prefix.data}, stored;
    int code = mdb_cursor_get(cursor, &key, &stored, prefix.size > 0 ? MDB_SET_RANGE : MDB_FIRST);
    while (code == 0 && has_prefix(&key, prefix)) {
        struct bytes value;
        TRY(check_value(meta, table, &key, &stored, &value, diag));
        int rc = fn(context, bytes_of(key.mv_data, key.mv_size), value, diag);
        if (rc == ERR_CORRUPT && diag != NULL && diag->code != ERR_CORRUPT)
            diag_set(diag, ERR_CORRUPT,
                     "%s: an entry of table %s has a shape this version does not know", meta->path,
                     table_names[table]);
        if (rc != 0)
            return rc;
        code = mdb_cursor_get(cursor, &key, &stored, MDB_NEXT);
    }
    return code == 0 || code == MDB_NOTFOUND ? 0 : report(meta, code, "read", diag);
}

int meta_scan(struct meta *meta, enum meta_table table, struct bytes prefix, meta_scan_fn fn,
              void *context, struct diag *diag)
{
    if (!meta->is_there[table])
        return 0;
    pthread_rwlock_rdlock(&meta->resize_lock);
    MDB_txn *txn = NULL;
    MDB_cursor *cursor = NULL;
    int rc, code = mdb_txn_begin(meta->env, NULL, MDB_RDONLY, &txn);
    if (code == 0)
        code = mdb_cursor_open(txn, meta->tables[table], &cursor);
    if (code != 0)
        rc = report(meta, code, "read", diag);
    else
        rc = scan_cursor(meta, cursor, table, prefix, fn, context, diag);
    if (cursor != NULL)
        mdb_cursor_close(cursor);
    if (txn != NULL)
        mdb_txn_abort(txn);
    pthread_rwlock_unlock(&meta->resize_lock);
    return rc;
}
