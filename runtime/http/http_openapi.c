/* http_openapi.c: docs/openapi.json, as it was when this was built: the description belongs to the program that answers. */
#include "runtime/http/http_internal.h"

void http_get_openapi(struct http_exchange *exchange)
{
    json_raw(&exchange->json, http_openapi_text, http_openapi_size);
}
