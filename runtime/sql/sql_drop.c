/* sql_drop.c: names that go: DROP, CREATE OR REPLACE.
 *
 * A file says what there is, so DROP takes a name of the statements before it away from those behind it, and with a materialized view its
 * pipeline. What ran in an earlier life of the job is not the file's to remove: the error says which command does. */
#include "runtime/sql/sql_compile.h"

#include <string.h>

static bool is_of(const struct relation *relation, const struct relation *named)
{
    return relation == named ||
           (named->statement != NULL && relation->statement == named->statement);
}

/* What a materialized view writes may be read by others already. */
static int check_readers(struct compile_file *file, const struct relation *dropped, int32_t at)
{
    for (const struct relation *r = file->program->relations; r != NULL; r = r->next)
        if (r->kind == RELATION_RESULT && !r->is_own && !is_of(r, dropped) &&
            sql_result_reads(file->program, r, dropped->topic))
            return source_error(&file->source, ERR_STATE, at, "drop the reader first",
                                "%s cannot be dropped: %s reads it", dropped->name, r->name);
    return 0;
}

static void forget(struct sql_program *program, const struct relation *named)
{
    struct relation **place = &program->relations;
    while (*place != NULL)
        if (is_of(*place, named) && !(*place)->is_own)
            *place = (*place)->next;
        else
            place = &(*place)->next;
    program->end = place;
    if (named->statement != NULL)
        own_topics_forget(program, named->statement);
}

static int wrong_kind(struct compile_file *file, const struct relation *relation, int32_t at)
{
    static const char *const hints[] = {[STATEMENT_TABLE] = "DROP TABLE",
                                        [STATEMENT_VIEW] = "DROP VIEW",
                                        [STATEMENT_MATERIALIZED_VIEW] = "DROP MATERIALIZED VIEW",
                                        [STATEMENT_INSERT] = "take the INSERT out of the file"};
    enum statement_kind kind = relation->statement->kind;
    return source_error(&file->source, ERR_INVALID, at, hints[kind], "\"%s\" was made by %s",
                        relation->name, statement_name(kind));
}

int drop_relation(struct compile_file *file, const struct sql_name *name, enum statement_kind kind)
{
    const struct relation *relation = relation_find(file, name->text);
    if (relation->statement->kind != kind)
        return wrong_kind(file, relation, name->at);
    if (relation->kind == RELATION_RESULT)
        TRY(check_readers(file, relation, name->at));
    forget(file->program, relation);
    return 0;
}

static bool is_broken(const struct compile_file *file, const char *name)
{
    for (uint32_t i = 0; i < file->broken_count; i++)
        if (strcmp(file->broken[i], name) == 0)
            return true;
    return false;
}

int compile_drop(struct compile_file *file, const struct statement *drop)
{
    for (uint32_t i = 0; i < drop->target_count; i++) {
        const struct sql_name *name = &drop->targets[i];
        if (relation_find(file, name->text) != NULL)
            TRY(drop_relation(file, name, drop->dropped));
        else if (!drop->only_if && !is_broken(file, name->text))
            return source_error(
                &file->source, ERR_NOT_FOUND, name->at,
                drop->dropped == STATEMENT_MATERIALIZED_VIEW
                    ? "a view that ran before ends when its statement is gone from the files; its "
                      "topics stay until 'weir topic delete' removes them"
                    : "a topic is removed with 'weir topic delete'",
                "\"%s\" does not exist before this", name->text);
    }
    return 0;
}
