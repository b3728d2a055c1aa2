/* regex.h: regular expressions for ~, ~*, !~ and !~*: PostgreSQL's spelling, RE2's automata.
 *
 * RE2 (https://github.com/google/re2) reads a text once, whatever the pattern: no pattern is catastrophic. What has no automaton (back
 * references, looking ahead or behind, \m and \M) is refused. The spelling is PostgreSQL's (section 9.7.3 of its manual, "advanced"): what it spells
 * otherwise than RE2 is translated, what it does not have is refused. Letters are Unicode's, digits are 0 to 9; \y knows ASCII's words alone. */
#ifndef WEIR_OPERATORS_REGEX_H
#define WEIR_OPERATORS_REGEX_H

#include "runtime/base/bytes.h"
#include "runtime/base/error.h"

enum { REGEX_PATTERN_MAX_BYTES = 16384, REGEX_REPETITIONS_MAX = 255 };

struct regex;
/* insensitive: as ~* does. Pattern in UTF-8. ERR_INVALID and ERR_UNSUPPORTED with a sentence in diag, and a hint behind "\nhint: " where there is one;
 * ERR_TOO_LARGE: the automaton, or the pattern, would be; ERR_NOMEM. The caller destroys it. */
int regex_compile(struct bytes pattern, bool insensitive, struct regex **regex, struct diag *diag);
void regex_destroy(struct regex *regex); /* may be NULL */
/* Whether it matches anywhere in a text in UTF-8. Time grows with the text's size alone. Any number of threads. */
bool regex_matches(const struct regex *regex, struct bytes text);

#endif
