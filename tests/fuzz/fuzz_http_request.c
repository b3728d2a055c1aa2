/* fuzz_http_request.c: any bytes as the target of an HTTP request and as its Authorization header. What comes out is UTF-8 without control characters, in the places that there are;
 * a name and a password have an end, and no colon stands in the name. */
#include "runtime/base/utf8.h"
#include "runtime/http/http_internal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text)
{
    must(utf8_check(bytes_text(text)));
    for (; *text != '\0'; text++)
        must((unsigned char)*text >= 0x20 && *text != 0x7f);
}

static void check_target(const char *text)
{
    struct http_target target;
    struct diag diag = {0};
    int code = http_target_parse(text, &target, &diag);
    must(code <= 0 && (code == 0) == (diag.text[0] == '\0'));
    must(target.segment_count <= HTTP_SEGMENTS_MAX && target.argument_count <= HTTP_ARGUMENTS_MAX);
    for (int i = 0; code == 0 && i < target.segment_count; i++)
        check_text(target.segments[i]);
    for (int i = 0; code == 0 && i < target.argument_count; i++) {
        check_text(target.arguments[i].name);
        check_text(target.arguments[i].value);
        for (int j = 0; j < i; j++)
            must(strcmp(target.arguments[i].name, target.arguments[j].name) != 0);
    }
    http_target_deinit(&target);
}

static void check_user(const char *text)
{
    struct http_user user;
    if (!http_user_read(text, &user))
        return;
    must(user.name == user.text && strchr(user.name, ':') == NULL);
    must(user.password == user.name + strlen(user.name) + 1);
    must(memchr(user.password, 0, sizeof user.text - (size_t)(user.password - user.text)) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char scheme[] = "Basic ";
    char *text = malloc(sizeof scheme + size + 1);
    must(text != NULL);
    memcpy(text, scheme, sizeof scheme - 1);
    memcpy(text + sizeof scheme - 1, data, size);
    text[sizeof scheme - 1 + size] = '\0';
    check_target(text + sizeof scheme - 1);
    check_user(text + sizeof scheme - 1);
    check_user(text);
    free(text);
    return 0;
}
