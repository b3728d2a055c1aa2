/* decimal_text.cc: the shortest text of a double.
 *
 * std::to_chars is the C++ library's Ryu: exact, some 50 ns, and deaf to the locale, where a loop
 * of "%.17g" and strtod in C is none of the three. This file exists to give it a C face. to_chars
 * alone would print 100000 as 1e+05, since that is shorter; so the form is chosen here, by
 * PostgreSQL's rule. */
#include <charconv>
#include <cmath>

extern "C" {
#include "operators/decimal_text.h"
}

size_t decimal_double(double value, char *text)
{
    double magnitude = std::fabs(value);
    bool plain = magnitude == 0 || (magnitude >= 1e-4 && magnitude < 1e15);
    auto format = plain ? std::chars_format::fixed : std::chars_format::scientific;
    return static_cast<size_t>(std::to_chars(text, text + DECIMAL_DOUBLE_BYTES, value, format).ptr -
                               text);
}
