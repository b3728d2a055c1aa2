/* memory_sampler.h: the peak of this process's memory while something runs, sampled by a thread of its own. */
#ifndef WEIR_TESTS_MEMORY_SAMPLER_H
#define WEIR_TESTS_MEMORY_SAMPLER_H

#include <pthread.h>
#include <stdbool.h>

struct memory_sampler {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop;
    double peak_anonymous_mb;       /* RssAnon + RssShmem; MB of 10^6 bytes */
    double peak_mapped_mb;          /* RssFile: the page cache seen through mappings */
};

/* Samples every 50 ms until stop, and once then. */
void memory_sampler_start(struct memory_sampler *sampler);
void memory_sampler_stop(struct memory_sampler *sampler);

#endif
