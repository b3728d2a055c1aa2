/* store_look.c: a look into one store (see store_look.h). */
#include "runtime/store_look.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/port.h"
#include "runtime/weir_view.h"

struct store_look {
    const struct store_name *name;
    struct shared_port *taken; /* the app's name; NULL: the app runs here */
    struct store_view *view;
    struct state *own;
    struct state_reader *reader;
};

static int open_own(struct store_look *look, struct diag *diag)
{
    struct state_options options = {.must_exist = true, .read_only = true};
    const char *path = look->name->path;
    int rc = state_open(path, store_view_state_hash(look->view), &options, &look->own, diag);
    if (rc == ERR_STATE)
        rc = state_open(path, store_view_plan_hash(look->view), &options, &look->own, diag);
    return rc;
}

static int open_look(struct weir_log *log, struct store_look *look, struct diag *diag)
{
    TRY(shared_name_take(log, look->name->app, &look->taken, diag));
    TRY(store_view_open_any(look->name->path, &look->view, diag));
    if (look->taken != NULL)
        TRY(open_own(look, diag));
    int rc = state_reader_open(look->name->path, &look->reader, diag);
    return rc == ERR_NOT_FOUND
               ? diag_set(diag, ERR_STOPPED,
                          "store %s-%d of %s is not open: it is being restored, or its pipeline is "
                          "stopped\nhint: /readyz and /api/v1/pipelines say which",
                          look->name->store, (int)look->name->partition, look->name->app)
               : rc;
}

int store_look_open(struct weir_log *log, const struct store_name *name, struct store_look **result,
                    struct diag *diag)
{
    struct store_look *look = calloc(1, sizeof *look);
    *result = NULL;
    if (look == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory to look into a store");
    look->name = name;
    int rc = open_look(log, look, diag);
    if (rc < 0) {
        store_look_close(log, look);
        return rc;
    }
    *result = look;
    return 0;
}

void store_look_close(struct weir_log *log, struct store_look *look)
{
    if (look == NULL)
        return;
    state_reader_close(look->reader);
    state_close(look->own);
    store_view_close(look->view);
    shared_name_give_back(log, look->taken);
    free(look);
}

struct store_view *store_look_view(struct store_look *look)
{
    return look->view;
}

struct state_reader *store_look_reader(struct store_look *look)
{
    return look->reader;
}

bool store_look_shows(const struct store_look *look, struct bytes value)
{
    return store_view_has_rows(look->view) || store_view_is_row(value);
}

static int find_changelog(struct port *port, const struct state_position *position,
                          int32_t partition, struct store_description *to, struct diag *diag)
{
    struct port_range range;
    int rc = port->ops->topic_name(port, position->topic_id, to->changelog, diag);
    if (rc == ERR_NOT_FOUND)
        return 0;
    TRY(rc);
    TRY(port->ops->range(port, to->changelog, partition, &range, diag));
    to->behind = range.stable > position->offset ? range.stable - position->offset : 0;
    return 0;
}

int store_look_describe(struct weir_log *log, struct store_look *look, struct store_description *to,
                        struct diag *diag)
{
    struct state_position position = state_reader_position(look->reader);
    struct state_statistics statistics;
    struct port *port;
    *to = (struct store_description){.position = position.offset};
    TRY(state_reader_stat(look->reader, &statistics, diag));
    to->entries = statistics.entries;
    to->bytes = statistics.used_bytes;
    TRY(port_log_share(log, NULL, &port, diag));
    int rc = find_changelog(port, &position, look->name->partition, to, diag);
    port->ops->close(port);
    return rc;
}
