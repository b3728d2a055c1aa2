/* http_letters.h: what the routes of dead letters share. Each exchange's own thread. */
#ifndef WEIR_HTTP_HTTP_LETTERS_H
#define WEIR_HTTP_HTTP_LETTERS_H

#include "runtime/http/http_internal.h"
#include "runtime/records/letter_filter.h"

/* class, stage, topic, partition, from, until; texts are the exchange's. false after http_fail. */
bool http_letter_filter(struct http_exchange *exchange, struct letter_filter *filter);
/* As http_fail_code, and where to look for what was not found. */
void http_fail_letters(struct http_exchange *exchange, int code, const char *text);

#endif
