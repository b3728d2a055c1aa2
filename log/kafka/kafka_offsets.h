/* kafka_offsets.h: the offsets that a request commits, for the two APIs that do: OffsetCommit, and TxnOffsetCommit inside a transaction. */
#ifndef WEIR_KAFKA_OFFSETS_H
#define WEIR_KAFKA_OFFSETS_H

#include "log/kafka/kafka_request.h"

enum { KAFKA_OFFSETS_CHUNK = 512 };
struct kafka_offsets {
    struct kafka_request *request;
    int16_t epoch_since;      /* the version from which on a leader epoch stands behind each offset */
    enum kafka_error refusal; /* of all of it; set before kafka_offsets_commit */
    /* Writes some of them; its result is the error of each. */
    enum kafka_error (*write)(void *context, struct kafka_request *request, const struct group_offset *offsets, size_t count);
    void *context;

    /* kafka_offsets.c */
    struct wire_reader topics;
    struct group_offset *offsets;
    size_t error_at[KAFKA_OFFSETS_CHUNK]; /* where in the response the error of each stands */
    size_t count;
};
/* The reader stands before the topics. False: they cannot be read, or there is no memory; the connection ends. */
bool kafka_offsets_begin(struct kafka_offsets *offsets);
/* Commits them and writes the topics of the response, and its end. */
void kafka_offsets_commit(struct kafka_offsets *offsets);

#endif
