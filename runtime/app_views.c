/* app_views.c: an app's views, kept beside its stores (see app_views.h).
 *
 * A store has a view.json of its own, which is all that `weir state` needs. What checks a view needs more:
 * how stages know what time it is depends on who writes the topic that they read, and views of rows have no store at
 * all. So all views are written, at each start of a run, after they were placed. An app may run some of its stages at
 * a time, so that those which are not in this run stay in the file as they were; whoever opens
 * a view gets it and those whose topics it reads, whatever has become of the rest. The file is not
 * needed for recovery; it is written again when it is missing. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/app_views.h"
#include "runtime/base/io.h"
#include "runtime/view_find.h"

enum { VIEWS_FILE_LIMIT = 16 << 20 };

static int no_memory(struct diag *diag)
{
    return diag_set(diag, ERR_NOMEM, "no memory for the views of an app");
}

static int views_path(const char *data, const char *app, const char *name, char *path, size_t size,
                      struct diag *diag)
{
    int length = snprintf(path, size, "%s/state/%s%s", data, app, name);
    return length > 0 && (size_t)length < size
               ? 0
               : diag_set(diag, ERR_TOO_LARGE, "the path of the data directory is too long: %s",
                          data);
}

/* ---- write ---- */

static json_t *view_object(const struct sink *sink)
{
    json_t *view =
        json_pack("{s:s, s:o}", "topic", sink->topic, "steps", store_view_steps(sink->stream));
    if (view != NULL && sink->format != NULL &&
        json_object_set_new(view, "format", json_string(sink->format->name)) < 0) {
        json_decref(view);
        return NULL;
    }
    if (view != NULL && sink->output.epoch_ms &&
        json_object_set_new(view, "epoch_ms", json_true()) < 0) {
        json_decref(view);
        return NULL;
    }
    if (view != NULL && sink->name != NULL &&
        json_object_set_new(view, "name", json_string(sink->name)) < 0) {
        json_decref(view);
        return NULL;
    }
    return view;
}

static const char *topic_of(const json_t *view)
{
    const char *topic = json_string_value(json_object_get(view, "topic"));
    return topic != NULL ? topic : "";
}

static bool is_written(const struct weir_app *app, const char *topic)
{
    for (const struct sink *sink = app->sinks; sink != NULL; sink = sink->next)
        if (strcmp(sink->topic, topic) == 0)
            return true;
    return false;
}

/* The views of the run, then those of other runs. */
static char *views_text(const struct weir_app *app, const json_t *old)
{
    json_t *views = json_array();
    const json_t *others = json_object_get(old, "views");
    bool is_whole = views != NULL;
    for (const struct sink *sink = app->sinks; is_whole && sink != NULL; sink = sink->next)
        is_whole = json_array_append_new(views, view_object(sink)) == 0;
    for (size_t i = 0; is_whole && i < json_array_size(others); i++) {
        json_t *other = json_array_get(others, i);
        if (!is_written(app, topic_of(other)))
            is_whole = json_array_append(views, other) == 0;
    }
    json_t *object =
        is_whole ? json_pack("{s:i, s:s, s:O}", "version", 1, "app", app->name, "views", views)
                 : NULL;
    char *text = object != NULL ? json_dumps(object, JSON_INDENT(2)) : NULL;
    json_decref(object);
    json_decref(views);
    return text;
}

int app_views_write(const struct weir_app *app, struct diag *diag)
{
    char directory[4096], path[4096], *old = NULL;
    size_t old_size = 0;
    TRY(views_path(app->data, app->name, "", directory, sizeof directory, diag));
    TRY(views_path(app->data, app->name, "/views.json", path, sizeof path, diag));
    bool has_old = io_read_file(path, VIEWS_FILE_LIMIT, &old, &old_size, NULL) == 0;
    json_t *object = has_old ? json_loadb(old, old_size, 0, NULL) : NULL;
    char *text = views_text(app, object);
    json_decref(object);
    int rc = text != NULL ? 0 : no_memory(diag);
    if (rc == 0 && (!has_old || old_size != strlen(text) || memcmp(old, text, old_size) != 0)) {
        rc = io_mkdirs(directory, diag);
        if (rc == 0)
            rc = io_write_file(path, text, strlen(text), diag);
    }
    free(old);
    free(text);
    return rc;
}

/* ---- read ---- */

static int make_view(weir_app *app, const json_t *view)
{
    const char *topic = json_string_value(json_object_get(view, "topic"));
    const char *name = json_string_value(json_object_get(view, "format"));
    weir_stream *stream = store_view_make_steps(app, json_object_get(view, "steps"));
    if (topic == NULL || stream == NULL)
        return app->error != 0 ? app->error : ERR_CORRUPT;
    const struct format *format = name != NULL ? store_view_format(app, name) : NULL;
    if (name != NULL && format == NULL)
        return ERR_CORRUPT;
    TRY(format != NULL ? weir_to_as(stream, topic, (weir_format)format->number)
                       : weir_to(stream, topic));
    weir_output_options output = {.epoch_ms = json_is_true(json_object_get(view, "epoch_ms"))};
    return weir_output(app, topic, &output);
}

/* Whether the steps read this topic, in any arm. */
static bool reads(const json_t *steps, const char *topic)
{
    for (size_t i = 0; i < json_array_size(steps); i++) {
        const json_t *step = json_array_get(steps, i), *merged = json_object_get(step, "streams");
        const char *kind = json_string_value(json_object_get(step, "kind"));
        const char *text = json_string_value(json_object_get(step, "text"));
        if (kind != NULL && strcmp(kind, "source") == 0 && text != NULL && strcmp(text, topic) == 0)
            return true;
        for (size_t m = 0; m < json_array_size(merged); m++)
            if (reads(json_array_get(merged, m), topic))
                return true;
        if (reads(json_object_get(step, "table"), topic))
            return true;
    }
    return false;
}

/* The view, and those that write what one of these reads. */
static void choose(const json_t *views, const char *wanted, bool *is_chosen)
{
    size_t count = json_array_size(views);
    bool moved = true;
    for (size_t i = 0; i < count; i++)
        is_chosen[i] = strcmp(topic_of(json_array_get(views, i)), wanted) == 0;
    while (moved) {
        moved = false;
        for (size_t i = 0; i < count; i++)
            for (size_t k = 0; k < count; k++) {
                const json_t *reader = json_object_get(json_array_get(views, k), "steps");
                if (is_chosen[i] || !is_chosen[k] ||
                    !reads(reader, topic_of(json_array_get(views, i))))
                    continue;
                is_chosen[i] = moved = true;
            }
    }
}

static int make_views(weir_app *app, const json_t *object, const char *wanted)
{
    const json_t *views = json_object_get(object, "views");
    size_t count = json_array_size(views);
    if (json_integer_value(json_object_get(object, "version")) != 1 || count == 0)
        return ERR_CORRUPT;
    bool *is_chosen = calloc(count, sizeof *is_chosen);
    int rc = is_chosen != NULL ? 0 : ERR_NOMEM;
    if (rc == 0)
        choose(views, wanted, is_chosen);
    for (size_t i = 0; rc == 0 && i < count; i++)
        if (is_chosen[i])
            rc = make_view(app, json_array_get(views, i));
    free(is_chosen);
    return rc == 0 && app->sinks == NULL ? ERR_NOT_FOUND : rc;
}

static int read_file(const char *data, const char *app_name, json_t **object, struct diag *diag)
{
    char path[4096], *text = NULL;
    size_t size;
    TRY(views_path(data, app_name, "/views.json", path, sizeof path, diag));
    int rc = io_read_file(path, VIEWS_FILE_LIMIT, &text, &size, diag);
    if (rc < 0)
        return errno == ENOENT
                   ? diag_set(diag, ERR_NOT_FOUND,
                              "there is no %s: an app writes it when it is run\nhint: run %s once",
                              path, app_name)
                   : rc;
    *object = json_loadb(text, size, 0, NULL);
    free(text);
    return *object != NULL ? 0 : diag_set(diag, ERR_CORRUPT, "%s is not JSON", path);
}

int app_views_open(const char *data, const char *app_name, const char *view, weir_app **app,
                   struct plan **plan, struct diag *diag)
{
    json_t *object = NULL;
    weir_options options = {.data = data};
    *plan = NULL;
    *app = NULL;
    TRY(read_file(data, app_name, &object, diag));
    *app = weir_app_open(app_name, &options);
    int rc = *app == NULL ? no_memory(diag) : make_views(*app, object, view);
    json_decref(object);
    if (rc == 0)
        rc = plan_compile(*app, plan, diag);
    else if (rc == ERR_NOT_FOUND)
        diag_set(
            diag, rc,
            "app %s has no view %s: a view is named by the topic that it writes, or as SQL does",
            app_name, view);
    else
        diag_set(diag, rc, "%s/state/%s/views.json does not describe views: %s", data, app_name,
                 *app != NULL && (*app)->diag.text[0] != '\0' ? (*app)->diag.text : error_text(rc));
    if (rc < 0) {
        weir_app_close(*app);
        *app = NULL;
    }
    return rc;
}

/* ---- find ---- */

static const char *name_of(const json_t *view)
{
    const char *name = json_string_value(json_object_get(view, "name"));
    return name != NULL ? name : "";
}

/* As SQL calls it, or by its topic: 1, and *named or *written, or both, which are two views then. Of the file. */
static int find_views(const json_t *object, const char *view, const json_t **named,
                      const json_t **written)
{
    const json_t *views = json_object_get(object, "views");
    *named = *written = NULL;
    for (size_t i = 0; i < json_array_size(views); i++) {
        const json_t *item = json_array_get(views, i);
        if (strcmp(name_of(item), view) == 0)
            *named = item;
        else if (strcmp(topic_of(item), view) == 0)
            *written = item;
    }
    return *named != NULL || *written != NULL;
}

static bool has_view(const char *data, const char *app, const char *view)
{
    json_t *object = NULL;
    const json_t *named, *written;
    bool has =
        read_file(data, app, &object, NULL) == 0 && find_views(object, view, &named, &written) == 1;
    json_decref(object);
    return has;
}

int app_views_topic(const char *data, const char *app, const char *view, char topic[250],
                    struct diag *diag)
{
    json_t *object = NULL;
    const json_t *named = NULL, *written = NULL;
    int rc = 0;
    snprintf(topic, 250, "%s", view);
    if (read_file(data, app, &object, NULL) == 0)
        find_views(object, view, &named, &written);
    if (named != NULL && written != NULL)
        rc = view_told_twice(view, topic_of(named), name_of(written), diag);
    else if (named != NULL)
        snprintf(topic, 250, "%s", topic_of(named));
    json_decref(object);
    return rc;
}

int app_views_find(const char *data, const char *view, char app_name[250], struct diag *diag)
{
    char path[4096];
    int count = 0;
    TRY(views_path(data, "", "", path, sizeof path, diag));
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;) {
        if (entry->d_name[0] == '.' || strlen(entry->d_name) >= 250 ||
            !has_view(data, entry->d_name, view))
            continue;
        if (count++ > 0)
            diag_set(diag, ERR_INVALID,
                     "apps %s and %s both have a view %s: say which one with --app", app_name,
                     entry->d_name, view);
        else
            snprintf(app_name, 250, "%s", entry->d_name);
    }
    if (directory != NULL)
        closedir(directory);
    if (count == 0)
        return diag_set(diag, ERR_NOT_FOUND,
                        "no app in %s has a view %s: a view is named by the topic that it writes, "
                        "or as SQL does",
                        data, view);
    return count == 1 ? 0 : ERR_INVALID;
}
