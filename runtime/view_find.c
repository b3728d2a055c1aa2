/* view_find.c: views by name (see view_find.h).
 *
 * Whatever keeps groups has stores, DIR/state/<app>/<stage>-<partition>, and in each of them the description of its view. So
 * the directories are the list: one look at the names of all stores, one description read for each view. The description
 * alone knows what the view's SQL statement was called; a store's directory is named after the topic. */
#include "runtime/view_find.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "operators/syntax.h"

enum { FOUND_MAX = 256, LIST_MAX = 12 };

struct search {
    const char *name, *app;
    struct view_place *place;
    char *found[FOUND_MAX]; /* "name" of every view, for messages */
    uint32_t found_count;
    char apps[512]; /* that have it */
    uint32_t app_count;
    bool has_name,
        has_topic; /* in the present app: the view that is called so, another whose topic is */
    bool is_both;  /* in some app */
    char topic[250], other[250]; /* of the former its topic, of the latter its name */
    bool has_app;                /* the present app has it */
    struct diag *diag;
};

static int each_entry(const char *path,
                      int (*fn)(struct search *, const char *dir, const char *name),
                      struct search *search)
{
    DIR *dir = opendir(path);
    if (dir == NULL)
        return errno == ENOENT || errno == ENOTDIR
                   ? 0
                   : diag_errno(search->diag, "cannot read %s", path);
    int rc = 0;
    for (struct dirent *entry; rc == 0 && (entry = readdir(dir)) != NULL;)
        if (entry->d_name[0] != '.')
            rc = fn(search, path, entry->d_name);
    closedir(dir);
    return rc;
}

static bool is_listed(const struct search *search, const char *name)
{
    for (uint32_t i = 0; i < search->found_count; i++)
        if (strcmp(search->found[i], name) == 0)
            return true;
    return false;
}

static int list_name(struct search *search, const char *name)
{
    if (search->found_count == FOUND_MAX || is_listed(search, name))
        return 0;
    char *copy = strdup(name);
    if (copy == NULL)
        return diag_set(search->diag, ERR_NOMEM, "no memory for the names of views");
    search->found[search->found_count++] = copy;
    return 0;
}

static void note_app(struct search *search, const char *app)
{
    size_t used = strlen(search->apps);
    snprintf(search->apps + used, sizeof search->apps - used, "%s%s", used > 0 ? ", " : "", app);
    search->app_count++;
    search->has_app = true;
}

/* A view has a directory for each partition: one that was seen is not asked again. */
static int look_at_store(struct search *search, const char *path, const char *entry)
{
    char dir[4096];
    struct store_view_names names;
    const char *dash = strrchr(entry, '-');
    int length = snprintf(dir, sizeof dir, "%s/%s", path, entry);
    if (dash == NULL || !isdigit((unsigned char)dash[1]) || length >= (int)sizeof dir)
        return 0;
    int rc = store_view_names(dir, &names, search->diag);
    if (rc == ERR_NOT_FOUND) /* a store of a job from before views were described */
        return 0;
    TRY(rc);
    size_t stage_size = (size_t)(dash - entry);
    if (strlen(names.topic) != stage_size || memcmp(names.topic, entry, stage_size) != 0)
        return 0; /* of a stage before that of the results: it holds what a join keeps */
    bool is_name = strcmp(names.name, search->name) == 0;
    bool is_topic = strcmp(names.topic, search->name) == 0;
    TRY(list_name(search, names.name[0] != '\0' ? names.name : names.topic));
    if ((!is_name && !is_topic) || (is_name ? search->has_name : search->has_topic))
        return 0;
    if (!search->has_app)
        note_app(search, names.app);
    search->has_name |= is_name;
    search->has_topic |= !is_name;
    search->is_both |= search->has_name && search->has_topic;
    if (is_name)
        snprintf(search->topic, sizeof search->topic, "%s", names.topic);
    else
        snprintf(search->other, sizeof search->other, "%s", names.name);
    search->place->names = names;
    memcpy(search->place->dir, dir, (size_t)length + 1);
    return 0;
}

static int look_at_app(struct search *search, const char *path, const char *entry)
{
    char dir[4096];
    if (search->app != NULL && strcmp(search->app, entry) != 0)
        return 0;
    if (snprintf(dir, sizeof dir, "%s/%s", path, entry) >= (int)sizeof dir)
        return diag_set(search->diag, ERR_TOO_LARGE, "the path %s is too long", path);
    search->has_app = search->has_name = search->has_topic = false;
    return each_entry(dir, look_at_store, search);
}

static int unknown_view(const struct search *search)
{
    const char *close =
        closest_name(search->name, (const char *const *)search->found, search->found_count);
    char list[512] = "";
    for (uint32_t i = 0; i < search->found_count && i < LIST_MAX; i++) {
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "", search->found[i]);
    }
    const char *of = search->app != NULL ? " of app " : "", *app = search->app;
    if (search->found_count == 0)
        return diag_set(
            search->diag, ERR_NOT_FOUND,
            "there is no view \"%.200s\"%s%.100s: no state of any view is kept here\n"
            "hint: a view has state once its job has run; CREATE MATERIALIZED VIEW with "
            "GROUP BY makes one",
            search->name, of, app != NULL ? app : "");
    return diag_set(search->diag, ERR_NOT_FOUND, "there is no view \"%.200s\"%s%.100s\nhint: %s%s",
                    search->name, of, app != NULL ? app : "",
                    close != NULL ? "did you mean " : "there is: ", close != NULL ? close : list);
}

int view_told_twice(const char *name, const char *topic, const char *other, struct diag *diag)
{
    if (strcmp(topic, other) == 0)
        return diag_set(diag, ERR_INVALID,
                        "\"%.200s\" is one view's name and the topic of \"%.200s\", and the other "
                        "way round\nhint: give one of them another topic: WITH (topic = '...')",
                        name, other);
    return diag_set(diag, ERR_INVALID,
                    "\"%.200s\" is one view's name and the topic of another\nhint: \"%.200s\", its "
                    "topic, is the former; \"%.200s\", its name, the latter",
                    name, topic, other);
}

int view_find(const char *data, const char *name, const char *app, struct view_place *place,
              struct diag *diag)
{
    char path[4096];
    struct search search = {.name = name, .app = app, .place = place, .diag = diag};
    if (snprintf(path, sizeof path, "%s/state", data) >= (int)sizeof path)
        return diag_set(diag, ERR_TOO_LARGE, "the path %s is too long", data);
    int rc = each_entry(path, look_at_app, &search);
    if (rc == 0 && search.app_count == 0)
        rc = unknown_view(&search);
    if (rc == 0 && search.app_count > 1)
        rc = diag_set(diag, ERR_INVALID,
                      "view \"%.200s\" is in several apps: %s\nhint: say which one: --app, or the "
                      "option app",
                      name, search.apps);
    if (rc == 0 && search.is_both)
        rc = view_told_twice(name, search.topic, search.other, diag);
    for (uint32_t i = 0; i < search.found_count; i++)
        free(search.found[i]);
    return rc;
}
