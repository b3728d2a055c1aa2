/* served_verify.h: a verification that the server of a directory makes. One thread. */
#ifndef WEIR_CLI_SERVED_VERIFY_H
#define WEIR_CLI_SERVED_VERIFY_H

#include "runtime/cli/http_client.h"
#include "runtime/verify/verify.h"

struct served_verify {
    const char *app;   /* NULL: the only one that has the view */
    const char *view;
    int64_t max, memory_mib;
    void (*each)(void *context, const struct verify_difference *difference);
    void *context;
    /* what comes of it */
    char found_app[250], topic[250];
    double seconds;
    struct verify_outcome outcome;
};
/* 0, whatever was found, or an exit code after a message. */
int served_verify(struct http_client *client, struct served_verify *verify);

#endif
