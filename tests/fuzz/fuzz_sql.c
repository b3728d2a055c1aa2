/* fuzz_sql.c: libFuzzer target: any bytes as a file of SQL. What compiles can be explained, and builds an app that the
 * planner accepts, but for limits that only the planner knows; what does not has an error with a text. */
#include "runtime/sql/sql_explain.h"

#include <stdio.h>
#include <string.h>

static void tell(void *context, const char *text)
{
    must(text[0] != '\0');
    ++*(uint32_t *)context;
}

/* In each form, as if every topic were there. */
static bool look(void *context, const char *topic, struct explain_topic *facts)
{
    *facts = (struct explain_topic){.partitions = 1 + (int32_t)(strlen(topic) % 3), .records = 7};
    return context == NULL;
}

static void explain(const struct sql_program *program, const weir_app *app)
{
    const struct explain asked = {.program = program, .app = app, .look = look};
    for (int format = EXPLAIN_TEXT; format <= EXPLAIN_JSON; format++) {
        struct buf text;
        struct diag diag = {0};
        buf_init(&text, 0);
        must(sql_explain_as(&asked, (enum explain_format)format, &text, &diag) == 0);
        must(buf_ok(&text));
        buf_deinit(&text);
    }
}

static void build(const struct sql_program *program)
{
    weir_app *app = weir_app_open("fuzz", NULL);
    bool has_pipelines = false;
    must(app != NULL);
    for (const struct relation *r = program->relations; r != NULL; r = r->next)
        has_pipelines |= r->kind == RELATION_RESULT;
    int rc = sql_build(program, app);
    if (rc == 0 && has_pipelines)
        rc = weir_app_check(app);
    if (rc < 0 && rc != WEIR_EUNSUPPORTED && rc != WEIR_ETOOLARGE && rc != WEIR_ENOMEM) {
        fprintf(stderr, "compiled, but: %s\n", weir_app_error(app));
        must(false);
    }
    if (rc == 0)
        explain(program, app);
    weir_app_close(app);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sql_program *program;
    uint32_t errors = 0;
    int rc = sql_compile((const char *)data, size, tell, &errors, &program);
    must((rc == 0) == (errors == 0) || rc == ERR_NOMEM);
    if (rc == 0) {
        struct buf text;
        buf_init(&text, 0);
        sql_explain(program, &text);
        must(buf_ok(&text));
        buf_deinit(&text);
        build(program);
    }
    sql_program_destroy(program);
    return 0;
}
