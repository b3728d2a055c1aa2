/* memory_sampler.c: reads /proc/self/status, which splits resident memory into anonymous, shared
 * and file-backed pages. ru_maxrss cannot be used: it adds the page cache that LMDB maps, which
 * belongs to the system and not to a budget. */
#include "tests/support/memory_sampler.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "runtime/base/error.h"

enum { SAMPLE_MS = 50 };

static void sample(struct memory_sampler *sampler)
{
    FILE *file = fopen("/proc/self/status", "re");
    if (file == NULL)
        return;
    char line[256];
    long anonymous = 0, shared = 0, mapped = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        (void)sscanf(line, "RssAnon: %ld", &anonymous);
        (void)sscanf(line, "RssShmem: %ld", &shared);
        (void)sscanf(line, "RssFile: %ld", &mapped);
    }
    fclose(file);
    double now = (double)(anonymous + shared) * 1024 / 1e6, files = (double)mapped * 1024 / 1e6;
    if (now > sampler->peak_anonymous_mb)
        sampler->peak_anonymous_mb = now;
    if (files > sampler->peak_mapped_mb)
        sampler->peak_mapped_mb = files;
}

static void *memory_sampler_main(void *context)
{
    struct memory_sampler *sampler = context;
    pthread_mutex_lock(&sampler->lock);
    while (!sampler->stop) {
        sample(sampler);
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += SAMPLE_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_cond_timedwait(&sampler->wake, &sampler->lock, &until);
    }
    pthread_mutex_unlock(&sampler->lock);
    return NULL;
}

void memory_sampler_start(struct memory_sampler *sampler)
{
    memset(sampler, 0, sizeof *sampler);
    must(pthread_mutex_init(&sampler->lock, NULL) == 0);
    must(pthread_cond_init(&sampler->wake, NULL) == 0);
    must(pthread_create(&sampler->thread, NULL, memory_sampler_main, sampler) == 0);
}

void memory_sampler_stop(struct memory_sampler *sampler)
{
    pthread_mutex_lock(&sampler->lock);
    sample(sampler);
    sampler->stop = true;
    pthread_cond_signal(&sampler->wake);
    pthread_mutex_unlock(&sampler->lock);
    pthread_join(sampler->thread, NULL);
}
