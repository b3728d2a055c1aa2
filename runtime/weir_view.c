/* weir_view.c: views that are open for questions (see weir_view.h).
 *
 * Two lists on the log's handle, guarded by a mutex of their own: sources of views, and apps that run. Opening a view of an app that does not run takes the
 * app's name, which is under the handle's other mutex; views of one app share that name and its port. A run that ends takes its app off the list and
 * closes its sources; who still reads one finds its stores closed. */
#include "runtime/weir_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/app.h"
#include "runtime/base/clock.h"
#include "runtime/metrics.h"
#include "runtime/port.h"
#include "runtime/run.h"
#include "runtime/view_reader.h"

struct shared_port {
    struct shared_port *next; /* in the list, of an app whose name is taken */
    struct port *port;
    uint32_t users;
    char app[250];
};

struct shared_source {
    struct shared_source *next;
    struct shared_port *port;
    struct view_source *source;
    struct weir_app *app; /* that runs; NULL: it does not, or not any more */
    uint32_t users;
    int64_t used_ns;
    struct view_place place;
};

struct shared_view {
    struct shared_source *source;
    struct view_reader *reader;
};

struct shared_app {
    struct shared_app *next;
    struct weir_app *app;
};

struct view_reader *shared_view_reader(struct shared_view *view)
{
    return view->reader;
}

bool shared_view_runs(const struct shared_view *view)
{
    return view_source_runs(view->source->source);
}

/* ---- ports ---- */

static void port_leave(weir_log *log, struct shared_port *port)
{
    if (port == NULL || --port->users > 0)
        return;
    struct shared_port **link = &log->view_ports;
    while (*link != NULL && *link != port)
        link = &(*link)->next;
    if (*link != NULL)
        *link = port->next;
    port->port->ops->close(port->port);
    free(port);
}

static int port_join(weir_log *log, const char *app, bool runs, struct shared_port **result,
                     struct diag *diag)
{
    for (struct shared_port *port = log->view_ports; !runs && port != NULL; port = port->next)
        if (strcmp(port->app, app) == 0) {
            port->users++;
            *result = port;
            return 0;
        }
    struct shared_port *port = calloc(1, sizeof *port);
    if (port == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory to read a view");
    snprintf(port->app, sizeof port->app, "%s", app);
    port->users = 1;
    int rc = port_log_share(log, runs ? NULL : port->app, &port->port, diag);
    if (rc < 0) {
        free(port);
        return rc;
    }
    if (!runs) {
        port->next = log->view_ports;
        log->view_ports = port;
    }
    *result = port;
    return 0;
}

/* ---- apps that run ---- */

static struct weir_app *find_app(const weir_log *log, const char *name)
{
    for (const struct shared_app *at = log->view_apps; at != NULL; at = at->next)
        if (strcmp(at->app->name, name) == 0)
            return at->app;
    return NULL;
}

/* How much of a view can be read. */
struct readiness {
    const char *topic;
    int tasks, open, missing; /* missing: the first partition that is not open */
    double restored;          /* of it */
};

static void note_task(void *context, const struct task_reading *task)
{
    struct readiness *ready = context;
    if (strcmp(task->stage, ready->topic) != 0)
        return;
    if (!task->is_open && ready->open == ready->tasks) {
        ready->missing = task->partition;
        ready->restored = task->restored;
    }
    ready->tasks++;
    ready->open += task->is_open;
}

static int check_ready(const struct weir_app *app, const char *topic, struct diag *diag)
{
    struct readiness ready = {.topic = topic};
    if (!metrics_read_tasks(app->metrics, note_task, &ready))
        return diag_set(diag, ERR_STOPPED, "the job %s is starting, or has ended", app->name);
    if (ready.tasks == 0)
        return diag_set(diag, ERR_STOPPED, "the job %s does not write view %s any more", app->name,
                        topic);
    if (ready.open == ready.tasks)
        return 0;
    return diag_set(diag, ERR_STOPPED,
                    "the state of view %s is being restored: %d of %d partitions are there, and "
                    "%d %% of partition %d\nhint: /readyz says when all is",
                    topic, ready.open, ready.tasks, (int)(ready.restored * 100), ready.missing);
}

int shared_views_begin(weir_log *log, struct weir_app *app, struct diag *diag)
{
    struct shared_app *running = calloc(1, sizeof *running);
    if (running == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory to run app %s", app->name);
    running->app = app;
    pthread_mutex_lock(&log->views_mutex);
    running->next = log->view_apps;
    log->view_apps = running;
    pthread_mutex_unlock(&log->views_mutex);
    return 0;
}

bool shared_views_app_runs(weir_log *log, const char *app)
{
    pthread_mutex_lock(&log->views_mutex);
    bool runs = find_app(log, app) != NULL;
    pthread_mutex_unlock(&log->views_mutex);
    return runs;
}

int shared_name_take(weir_log *log, const char *app, struct shared_port **taken, struct diag *diag)
{
    *taken = NULL;
    pthread_mutex_lock(&log->views_mutex);
    int rc = find_app(log, app) != NULL ? 0 : port_join(log, app, false, taken, diag);
    pthread_mutex_unlock(&log->views_mutex);
    return rc;
}

void shared_name_give_back(weir_log *log, struct shared_port *taken)
{
    pthread_mutex_lock(&log->views_mutex);
    port_leave(log, taken);
    pthread_mutex_unlock(&log->views_mutex);
}

/* ---- sources ---- */

static int open_source(weir_log *log, const struct view_place *place, struct weir_app *app,
                       size_t memory_bytes, struct shared_source **result, struct diag *diag)
{
    struct shared_source *source = calloc(1, sizeof *source);
    if (source == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory to read a view");
    source->place = *place;
    source->app = app;
    int rc = port_join(log, place->names.app, app != NULL, &source->port, diag);
    if (rc == 0)
        rc = view_source_open(source->port->port, weir_log_dir(log), &source->place, app != NULL,
                              app != NULL ? VIEW_REST_BYTES : memory_bytes, &source->source, diag);
    if (rc < 0) {
        port_leave(log, source->port);
        free(source);
        return rc;
    }
    source->next = log->views;
    log->views = source;
    *result = source;
    return 0;
}

static void close_source(weir_log *log, struct shared_source *source)
{
    struct shared_source **link = &log->views;
    while (*link != source)
        link = &(*link)->next;
    *link = source->next;
    view_source_close(source->source);
    port_leave(log, source->port);
    free(source);
}

static int find_source(weir_log *log, const char *name, const char *app_name, size_t memory_bytes,
                       struct shared_source **result, struct diag *diag)
{
    struct view_place place;
    TRY(view_find(weir_log_dir(log), name, app_name, &place, diag));
    struct weir_app *app = find_app(log, place.names.app);
    if (app != NULL)
        TRY(check_ready(app, place.names.topic, diag));
    for (struct shared_source *source = log->views; source != NULL; source = source->next)
        if (strcmp(source->place.names.app, place.names.app) == 0 &&
            strcmp(source->place.names.topic, place.names.topic) == 0 && source->app == app &&
            view_source_runs(source->source) == (app != NULL)) {
            *result = source;
            return 0;
        }
    return open_source(log, &place, app, memory_bytes, result, diag);
}

/* What the last user of a source leaves: one of a job that runs is kept. */
static void leave_source(weir_log *log, struct shared_source *source)
{
    source->used_ns = clock_mono_ns();
    if (source->app != NULL && view_source_wants_checkpoint(source->source))
        app_request_checkpoint(source->app);
    if (--source->users == 0 && source->app == NULL)
        close_source(log, source);
}

static bool is_idle(const struct shared_source *source, int64_t before_ns)
{
    return source->users == 0 && source->app != NULL && source->used_ns < before_ns;
}

void shared_views_tend(weir_log *log)
{
    int64_t before_ns = clock_mono_ns() - (int64_t)VIEW_KEEP_MS * 1000000;
    pthread_mutex_lock(&log->views_mutex);
    for (struct shared_source *source = log->views, *next; source != NULL; source = next) {
        next = source->next;
        if (is_idle(source, before_ns))
            close_source(log, source);
    }
    pthread_mutex_unlock(&log->views_mutex);
}

void shared_views_end(weir_log *log, const struct weir_app *app)
{
    pthread_mutex_lock(&log->views_mutex);
    for (struct shared_source *source = log->views, *next; source != NULL; source = next) {
        next = source->next;
        if (source->app != app)
            continue;
        source->app = NULL;
        if (source->users == 0)
            close_source(log, source);
    }
    struct shared_app **link = &log->view_apps;
    while (*link != NULL && (*link)->app != app)
        link = &(*link)->next;
    struct shared_app *over = *link;
    if (over != NULL)
        *link = over->next;
    pthread_mutex_unlock(&log->views_mutex);
    free(over);
}

/* ---- questions ---- */

int shared_view_open(weir_log *log, const char *name, const char *app, size_t memory_bytes,
                     struct shared_view **result, struct diag *diag)
{
    *result = NULL;
    struct shared_view *view = calloc(1, sizeof *view);
    if (view == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory to read a view");
    pthread_mutex_lock(&log->views_mutex);
    int rc = find_source(log, name, app, memory_bytes, &view->source, diag);
    if (rc == 0) {
        view->source->users++;
        rc = view_reader_open(view->source->source, &view->reader, diag);
        if (rc < 0)
            leave_source(log, view->source);
    }
    pthread_mutex_unlock(&log->views_mutex);
    if (rc < 0) {
        free(view);
        return rc;
    }
    *result = view;
    return 0;
}

void shared_view_close(weir_log *log, struct shared_view *view)
{
    if (view == NULL)
        return;
    view_reader_close(view->reader);
    pthread_mutex_lock(&log->views_mutex);
    leave_source(log, view->source);
    pthread_mutex_unlock(&log->views_mutex);
    free(view);
}
