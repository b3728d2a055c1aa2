/* cli_suggest.c: "did you mean". The nearest candidate by edit distance with neighbour swaps
 * (optimal string alignment), the measure that fits slips of the hand; a prefix of at least three
 * letters counts as near. A third of the letters may differ. */
#include "runtime/cli/cli.h"

enum { WORD_MAX = 48 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t distance(const char *a, const char *b)
{
    size_t a_size = strlen(a), b_size = strlen(b);
    if (a_size > WORD_MAX || b_size > WORD_MAX)
        return SIZE_MAX;
    size_t table[WORD_MAX + 1][WORD_MAX + 1];
    for (size_t i = 0; i <= a_size; i++)
        table[i][0] = i;
    for (size_t j = 0; j <= b_size; j++)
        table[0][j] = j;
    for (size_t i = 1; i <= a_size; i++)
        for (size_t j = 1; j <= b_size; j++) {
            size_t change = table[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            table[i][j] = least(change, least(table[i - 1][j], table[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                table[i][j] = least(table[i][j], table[i - 2][j - 2] + 1);
        }
    return table[a_size][b_size];
}

const char *suggest(const char *word, const char *const *candidates, int count)
{
    const char *best = NULL;
    size_t best_distance = SIZE_MAX, size = strlen(word);
    for (int i = 0; i < count; i++) {
        size_t longer = size > strlen(candidates[i]) ? size : strlen(candidates[i]);
        size_t d = distance(word, candidates[i]);
        bool prefix = size >= 3 && strncmp(word, candidates[i], size) == 0;
        if (prefix)
            d = 1;
        if (d < best_distance && (prefix || d <= (longer + 2) / 3)) {
            best = candidates[i];
            best_distance = d;
        }
    }
    return best;
}
