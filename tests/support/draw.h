/* draw.h: numbers drawn at random by a test that is one file and one thread; the same seed gives the same numbers. */
#ifndef WEIR_TESTS_DRAW_H
#define WEIR_TESTS_DRAW_H

#include <stdint.h>

static uint64_t seed; /* the state, too */

/* A number below n. Knuth's MMIX generator: its high bits are the good ones. */
static inline uint32_t draw(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % n;
}

#endif
