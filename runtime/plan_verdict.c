/* plan_verdict.c: what two views decide alike about a row of their source.
 *
 * Views that read one source and begin with the same steps refuse the same rows there: a declared
 * table in SQL is such a beginning, with its casts, NOT NULL and CHECK. So that such a row becomes
 * one dead letter of the app, and not one of each view (told.h), the verdicts of a view have names
 * that say nothing of the view itself:
 *
 *   verdict 0       the source: topic, format, declared columns, the fields that are decoded, event
 *                   time and how far ahead it may be, and whether rows are those of a table
 *   verdict i > 0   operator i - 1, by its step's text, behind verdict i - 1
 *
 * Equal names: a row is refused by both or by neither. A field that one view decodes and another does
 * not may be what is wrong with a record, so sources that differ in that are different.
 *
 * The list ends at the first step whose verdict is more than its text and its row: functions of the
 * user, what keeps rows, groups. */
#include <string.h>

#include "operators/syntax.h"
#include "runtime/base/hash.h"
#include "runtime/plan_compile.h"

enum { FIELD_TEXT_BYTES = 1024 };

static uint64_t mix(uint64_t before, uint64_t next)
{
    const uint64_t both[2] = {before, next};
    return hash64(both, sizeof both);
}

static uint64_t mix_text(uint64_t before, const char *text)
{
    return mix(before, text != NULL ? hash64(text, strlen(text)) : 0);
}

/* In no order: a view decodes its fields in the order in which its steps name them. */
static uint64_t fields_hash(const struct field_set *fields)
{
    char text[FIELD_TEXT_BYTES];
    uint64_t sum = field_set_count(fields);
    for (uint32_t i = 0; i < field_set_count(fields); i++) {
        path_print(field_set_path(fields, i), text, sizeof text);
        sum += hash64(text, strlen(text));
    }
    return sum;
}

static uint64_t source_verdict(const struct view *view)
{
    const struct weir_stream *source = view->source;
    uint64_t hash = mix_text(view->keyed != NULL, source->text);
    hash = mix_text(hash, source->format->name);
    hash = mix_text(hash, source->name);
    hash = mix_text(hash, source->extra);
    hash = mix(hash, (uint64_t)source->skew_ms);
    return mix(hash, fields_hash(view->fields));
}

/* Of its text and the row alone: of a table whether the row has a key. A merge decides nothing. */
static bool is_plain(const struct weir_stream *step)
{
    return step->kind == NODE_FILTER || step->kind == NODE_CHECK || step->kind == NODE_MAP ||
           step->kind == NODE_UNNEST || step->kind == NODE_KEYED || step->kind == NODE_MERGE;
}

void compile_verdicts(struct view *view, const struct arm_chain *chain, const uint32_t *op_ends)
{
    uint64_t hash = source_verdict(view);
    uint32_t count = chain->within > 0 ? chain->within : chain->count;
    view->verdicts[view->verdict_count++] = hash;
    for (uint32_t i = 0; i < count && (i == 0 || is_plain(chain->steps[i])); i++) {
        const struct weir_stream *step = chain->steps[i];
        if (step->kind == NODE_MERGE && op_ends[i] != op_ends[i - 1])
            break;
        if (i > 0 && step->kind != NODE_MERGE) {
            hash = mix(hash, (uint64_t)step->kind);
            hash = mix_text(hash, step->text);
            hash = mix_text(hash, step->extra);
        }
        while (view->verdict_count <= op_ends[i]) {
            hash = mix(hash, view->verdict_count);
            view->verdicts[view->verdict_count++] = hash;
        }
    }
}
