/* weir_view.c: views that are open for questions (see weir_view.h).
 *
 * A list on the log's handle, guarded by a mutex of its own: opening a view takes the name of its app, which is under the
 * handle's other one. Views of one app share that name and its port. */
#include "runtime/weir_view.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/port.h"
#include "runtime/view_reader.h"

struct shared_port {
    struct port *port;
    uint32_t users;
    char app[250];
};

struct shared_view {
    struct shared_view *next;
    struct shared_port *port;
    struct view_reader *reader;
    uint32_t users;
    struct view_place place;
};

struct view_reader *shared_view_reader(struct shared_view *view)
{
    return view->reader;
}

static void port_leave(struct shared_port *port)
{
    if (port == NULL || --port->users > 0)
        return;
    port->port->ops->close(port->port);
    free(port);
}

static int port_join(weir_log *log, const char *app, struct shared_port **result, struct diag *diag)
{
    for (struct shared_view *view = log->views; view != NULL; view = view->next)
        if (strcmp(view->port->app, app) == 0) {
            view->port->users++;
            *result = view->port;
            return 0;
        }
    struct shared_port *port = calloc(1, sizeof *port);
    if (port == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory to read a view");
    memcpy(port->app, app, strlen(app) + 1);
    port->users = 1;
    int rc = port_log_share(log, port->app, &port->port, diag);
    if (rc < 0) {
        free(port);
        return rc;
    }
    *result = port;
    return 0;
}

static int open_view(weir_log *log, const struct view_place *place, size_t memory_bytes,
                     struct shared_view **result, struct diag *diag)
{
    struct shared_view *view = calloc(1, sizeof *view);
    if (view == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory to read a view");
    view->place = *place;
    view->users = 1;
    int rc = port_join(log, place->names.app, &view->port, diag);
    if (rc == 0)
        rc = view_reader_open(view->port->port, weir_log_dir(log), &view->place, memory_bytes,
                              &view->reader, diag);
    if (rc < 0) {
        port_leave(view->port);
        free(view);
        return rc;
    }
    view->next = log->views;
    log->views = view;
    *result = view;
    return 0;
}

static int find_view(weir_log *log, const char *name, const char *app, size_t memory_bytes,
                     struct shared_view **result, struct diag *diag)
{
    struct view_place place;
    TRY(view_find(weir_log_dir(log), name, app, &place, diag));
    for (struct shared_view *view = log->views; view != NULL; view = view->next)
        if (strcmp(view->place.names.app, place.names.app) == 0 &&
            strcmp(view->place.names.topic, place.names.topic) == 0) {
            view->users++;
            *result = view;
            return 0;
        }
    return open_view(log, &place, memory_bytes, result, diag);
}

int shared_view_open(weir_log *log, const char *name, const char *app, size_t memory_bytes,
                     struct shared_view **result, struct diag *diag)
{
    *result = NULL;
    pthread_mutex_lock(&log->views_mutex);
    int rc = find_view(log, name, app, memory_bytes, result, diag);
    pthread_mutex_unlock(&log->views_mutex);
    return rc;
}

void shared_view_close(weir_log *log, struct shared_view *view)
{
    if (view == NULL)
        return;
    pthread_mutex_lock(&log->views_mutex);
    if (--view->users == 0) {
        struct shared_view **link = &log->views;
        while (*link != view)
            link = &(*link)->next;
        *link = view->next;
        view_reader_close(view->reader);
        port_leave(view->port);
        free(view);
    }
    pthread_mutex_unlock(&log->views_mutex);
}
