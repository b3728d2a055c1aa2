/* regex.cc: from PostgreSQL's spelling of a regular expression to RE2's.
 *
 * The pattern is walked once. Most of it means the same to both and is copied; escapes, classes in
 * brackets and options at the start are written anew. Anything that RE2 would take and PostgreSQL
 * would read as something else (\b is a backspace there and a word's border here) must not get
 * through as it stands, so an escape that is not listed is refused.
 *
 * As in PostgreSQL without options, a dot and a negated class match a line feed too, and ^ and $ are
 * the ends of the text. */
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>

#include <re2/re2.h>

extern "C" {
#include "operators/regex.h"
}

struct regex {
    re2::RE2 automaton;
    regex(const std::string &pattern, const re2::RE2::Options &options)
        : automaton(pattern, options)
    {
    }
};

namespace
{

struct refusal {
    int code;
    std::string text;
};

[[noreturn]] void refuse(int code, const std::string &text)
{
    throw refusal{code, text};
}

const char letters[] = "\\p{L}", digits[] = "0-9", word[] = "\\p{L}\\p{M}\\p{Nd}_",
           space[] = "\\t-\\r ";

class translation
{
  public:
    translation(const char *pattern, size_t size, bool is_insensitive)
        : insensitive(is_insensitive), at(pattern), end(pattern + size)
    {
        options();
        while (at < end)
            item();
    }
    std::string out;
    bool insensitive;

  private:
    const char *at, *end;

    bool next_is(const char *text) const
    {
        size_t size = strlen(text);
        return (size_t)(end - at) >= size && memcmp(at, text, size) == 0;
    }

    /* (?i), (?c) and (?s) at the start; the others change what a pattern is. */
    void options()
    {
        if (next_is("***"))
            refuse(ERR_UNSUPPORTED, "a pattern that begins with *** is not supported");
        if (!next_is("(?") || end - at < 4 || !isalpha((unsigned char)at[2]))
            return;
        const char *option = at + 2;
        for (; option < end && *option != ')'; option++) {
            if (*option == 'i')
                insensitive = true;
            else if (*option == 'c')
                insensitive = false;
            else if (*option != 's')
                refuse(ERR_UNSUPPORTED,
                       std::string("the option ") + *option +
                           " of a regular expression is not supported\nhint: (?i) and (?c) are");
        }
        if (option == end)
            refuse(ERR_INVALID, "the options of the regular expression do not end");
        at = option + 1;
    }

    void item()
    {
        if (*at == '\\')
            escape(false);
        else if (*at == '[')
            bracket();
        else if (next_is("(?") && !next_is("(?:"))
            refuse(ERR_UNSUPPORTED,
                   "a regular expression cannot look ahead or behind, nor name its groups\nhint: "
                   "two conditions with AND say the same in most cases");
        else if (*at == '{' && at + 1 < end && isdigit((unsigned char)at[1]))
            bounds();
        else if (*at == '^' && at + 1 < end &&
                 (strchr("*+?", at[1]) != nullptr ||
                  (at[1] == '{' && at + 2 < end && isdigit((unsigned char)at[2]))))
            refuse(ERR_INVALID, "the regular expression repeats a ^");
        else
            out += *at++;
    }

    long bound()
    {
        long value = 0;
        for (; at < end && isdigit((unsigned char)*at) && value <= REGEX_REPETITIONS_MAX; at++)
            value = value * 10 + (*at - '0');
        return value;
    }

    /* {2}, {2,} or {2,5}: RE2 would take what only looks like it as text. */
    void bounds()
    {
        const char *from = at++;
        long fewest = bound(), most = fewest;
        if (at < end && *at == ',') {
            at++;
            if (at < end && isdigit((unsigned char)*at))
                most = bound();
        }
        if (at == end || *at != '}' || most > REGEX_REPETITIONS_MAX || most < fewest)
            refuse(ERR_INVALID, "a repetition of the regular expression is wrong\nhint: {2}, {2,} "
                                "and {2,5} repeat, at most 255 times");
        out.append(from, (size_t)(++at - from));
    }

    /* A code point by its hexadecimal digits. */
    void code_point(size_t fewest, size_t most)
    {
        std::string hex;
        while (at < end && hex.size() < most && isxdigit((unsigned char)*at))
            hex += *at++;
        unsigned long value = hex.empty() ? 0 : strtoul(hex.c_str(), nullptr, 16);
        if (hex.size() < fewest || value == 0 || value > 0x10ffff ||
            (value >= 0xd800 && value < 0xe000))
            refuse(ERR_INVALID, "an escape of the regular expression names no character");
        char text[16];
        snprintf(text, sizeof text, "\\x{%lx}", value);
        out += text;
    }

    void character(unsigned value)
    {
        char text[16];
        snprintf(text, sizeof text, "\\x{%x}", value);
        out += text;
    }

    void set(const char *members, bool in_bracket)
    {
        out += in_bracket ? std::string(members) : std::string("[") + members + "]";
    }

    void not_set(char name, const char *members, bool in_bracket)
    {
        if (in_bracket)
            refuse(ERR_UNSUPPORTED, std::string("\\") + name +
                                        " in brackets is not supported\nhint: [^…] negates the "
                                        "whole of a bracket");
        out += std::string("[^") + members + "]";
    }

    /* What stands for a place in the text, not for a character. */
    bool place(char name)
    {
        switch (name) {
        case 'A':
            out += "\\A";
            return true;
        case 'Z':
            out += "\\z";
            return true;
        case 'y':
            out += "\\b";
            return true;
        case 'Y':
            out += "\\B";
            return true;
        case 'm':
        case 'M':
            refuse(ERR_UNSUPPORTED, std::string("\\") + name +
                                        " is not supported\nhint: \\y is either end of a word");
        default:
            return false;
        }
    }

    bool control(char name)
    {
        static const char names[] = "abefnrtvB";
        static const unsigned values[] = {7, 8, 27, 12, 10, 13, 9, 11, '\\'};
        const char *found = strchr(names, name);
        if (name == '\0' || found == nullptr)
            return false;
        character(values[found - names]);
        return true;
    }

    bool numbered(char name)
    {
        if (name == 'x')
            code_point(1, 8);
        else if (name == 'u')
            code_point(4, 4);
        else if (name == 'U')
            code_point(8, 8);
        else
            return false;
        return true;
    }

    bool shorthand(char name, bool in_bracket)
    {
        switch (name) {
        case 'd':
            set(digits, in_bracket);
            return true;
        case 's':
            set(space, in_bracket);
            return true;
        case 'w':
            set(word, in_bracket);
            return true;
        case 'D':
            not_set(name, digits, in_bracket);
            return true;
        case 'S':
            not_set(name, space, in_bracket);
            return true;
        case 'W':
            not_set(name, word, in_bracket);
            return true;
        default:
            return false;
        }
    }

    void escape(bool in_bracket)
    {
        if (++at == end)
            refuse(ERR_INVALID, "a regular expression must not end with a backslash");
        char name = *at++;
        if (!isalnum((unsigned char)name)) { /* itself, of a longer character the first byte */
            if ((unsigned char)name < 0x80 && name != '\n')
                out += '\\';
            out += name;
            return;
        }
        if (isdigit((unsigned char)name))
            refuse(ERR_UNSUPPORTED, "back references and octal escapes are not supported in "
                                    "regular expressions");
        if (name == 'c') {
            if (at == end)
                refuse(ERR_INVALID, "\\c of the regular expression needs a character");
            if ((*at & 0x1f) == 0)
                refuse(ERR_INVALID, "an escape of the regular expression names no character");
            character(*at++ & 0x1f);
            return;
        }
        if (control(name) || numbered(name) || shorthand(name, in_bracket) ||
            (!in_bracket && place(name)))
            return;
        refuse(ERR_INVALID, std::string("the regular expression has an unknown escape: \\") + name);
    }

    /* [:alpha:] */
    void character_class()
    {
        static const struct {
            const char *name, *members;
        } known[] = {{"alpha", letters},
                     {"digit", digits},
                     {"alnum", "\\p{L}\\p{M}\\p{Nd}"},
                     {"word", word},
                     {"space", space},
                     {"upper", "\\p{Lu}"},
                     {"lower", "\\p{Ll}"},
                     {"blank", " \\t"},
                     {"xdigit", "0-9a-fA-F"},
                     {"punct", "!-/:-@\\[-`{-~"},
                     {"cntrl", "\\x00-\\x1f\\x7f"},
                     {"ascii", "\\x00-\\x7f"}};
        for (const auto &one : known) {
            std::string text = std::string("[:") + one.name + ":]";
            if (next_is(text.c_str())) {
                out += one.members;
                at += text.size();
                return;
            }
        }
        refuse(ERR_UNSUPPORTED, "a class of the regular expression is not known\nhint: [:alpha:] "
                                "[:digit:] [:alnum:] [:word:] [:space:] [:upper:] [:lower:] "
                                "[:blank:] [:xdigit:] [:punct:] [:cntrl:] [:ascii:]");
    }

    void bracket()
    {
        out += *at++;
        if (at < end && *at == '^')
            out += *at++;
        for (bool is_first = true; at < end; is_first = false) {
            if (*at == ']' && !is_first) {
                out += *at++;
                return;
            }
            if (next_is("[:"))
                character_class();
            else if (next_is("[.") || next_is("[="))
                refuse(ERR_UNSUPPORTED, "[. and [= in a bracket are not supported");
            else if (*at == '\\')
                escape(true);
            else if (*at == '[' || *at == ']')
                (out += '\\') += *at++;
            else
                out += *at++;
        }
        refuse(ERR_INVALID, "a bracket of the regular expression does not end");
    }
};

} /* namespace */

int regex_compile(struct bytes pattern, bool insensitive, struct regex **out, struct diag *diag)
{
    *out = nullptr;
    if (pattern.size > REGEX_PATTERN_MAX_BYTES)
        return diag_set(diag, ERR_TOO_LARGE, "a regular expression is longer than %d bytes",
                        REGEX_PATTERN_MAX_BYTES);
    try {
        translation translated((const char *)pattern.data, pattern.size, insensitive);
        re2::RE2::Options options;
        options.set_dot_nl(true);
        options.set_case_sensitive(!translated.insensitive);
        options.set_never_capture(true);
        options.set_log_errors(false);
        regex *made = new regex(translated.out, options);
        if (made->automaton.ok()) {
            *out = made;
            return 0;
        }
        int code = made->automaton.error_code() == re2::RE2::ErrorPatternTooLarge ? ERR_TOO_LARGE
                                                                                  : ERR_INVALID;
        std::string error = made->automaton.error();
        delete made;
        return diag_set(diag, code, "the regular expression is wrong: %s", error.c_str());
    } catch (const refusal &refused) {
        return diag_set(diag, refused.code, "%s", refused.text.c_str());
    } catch (const std::bad_alloc &) {
        return ERR_NOMEM;
    }
}

void regex_destroy(struct regex *regex)
{
    delete regex;
}

bool regex_matches(const struct regex *regex, struct bytes text)
{
    re2::StringPiece piece((const char *)text.data, text.size);
    return regex->automaton.Match(piece, 0, text.size, re2::RE2::UNANCHORED, nullptr, 0);
}
