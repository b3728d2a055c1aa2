/* kafka_strangers.c: work that costs much and that anybody may ask for: TLS handshakes and checks of passwords.
 *
 * A handshake with an RSA key of 4,096 bits, or a password that is hashed thousands of times, is milliseconds of a processor, and whoever can connect can have as many as he
 * wants. So neither the loop nor the workers do it: threads of its own do, of which there are few, and which the system runs after the others (nice). What they
 * are asked for stands in a queue for each address, and the addresses take turns: who asks for a thousand handshakes waits for his own, and another address for
 * one of his. What belongs to a connection that has gone by then is not done.
 *
 * A chore lies in its request or handshake, and its connection lives until the chore is given back: so does the address. */
#include "log/kafka/kafka_internal.h"
#include "runtime/base/thread.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum { NICE = 5 };

void kafka_strangers_push(struct kafka_strangers *strangers, struct kafka_chore *chore)
{
    struct kafka_peer *peer = chore->peer;
    chore->next = NULL;
    pthread_mutex_lock(&strangers->mutex);
    if (peer->first_chore != NULL) {
        peer->last_chore->next = chore;
    } else {
        peer->first_chore = chore;
        peer->next_turn = NULL;
        if (strangers->last_turn != NULL)
            strangers->last_turn->next_turn = peer;
        else
            strangers->first_turn = peer;
        strangers->last_turn = peer;
    }
    peer->last_chore = chore;
    pthread_mutex_unlock(&strangers->mutex);
    pthread_cond_signal(&strangers->work);
}

/* Of the address whose turn it is, which then stands behind the others. NULL: the server stops. mutex held. */
static struct kafka_chore *take(struct kafka_strangers *strangers)
{
    while (strangers->first_turn == NULL && !strangers->stopping)
        pthread_cond_wait(&strangers->work, &strangers->mutex);
    struct kafka_peer *peer = strangers->first_turn;
    if (peer == NULL)
        return NULL;
    struct kafka_chore *chore = peer->first_chore;
    peer->first_chore = chore->next;
    if (peer->first_chore == NULL) {
        strangers->first_turn = peer->next_turn;
        if (strangers->first_turn == NULL)
            strangers->last_turn = NULL;
    } else if (peer->next_turn != NULL) {
        strangers->first_turn = peer->next_turn;
        strangers->last_turn->next_turn = peer;
        strangers->last_turn = peer;
        peer->next_turn = NULL;
    }
    return chore;
}

static void *strangers_main(void *context)
{
    struct kafka_strangers *strangers = context;
    struct kafka_chore *chore;
    struct buf scratch = {0};
    setpriority(PRIO_PROCESS, (id_t)gettid(), NICE); /* of this thread, in Linux */
    pthread_mutex_lock(&strangers->mutex);
    while ((chore = take(strangers)) != NULL) {
        pthread_mutex_unlock(&strangers->mutex);
        chore->run(chore, &scratch);
        pthread_mutex_lock(&strangers->mutex);
    }
    pthread_mutex_unlock(&strangers->mutex);
    buf_deinit(&scratch);
    return NULL;
}

int kafka_strangers_start(struct kafka_strangers *strangers, struct diag *diag)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int wanted = cores / 2 < 1                   ? 1
                 : cores / 2 > STRANGERS_THREADS ? STRANGERS_THREADS
                                                 : (int)(cores / 2);
    pthread_mutex_init(&strangers->mutex, NULL);
    pthread_cond_init(&strangers->work, NULL);
    strangers->is_there = true;
    for (int i = 0; i < wanted; i++) {
        int error = thread_start(&strangers->threads[i], strangers_main, strangers);
        if (error != 0) {
            errno = error;
            return diag_errno(diag, "cannot start a thread for handshakes and passwords");
        }
        strangers->thread_count++;
    }
    return 0;
}

void kafka_strangers_stop(struct kafka_strangers *strangers)
{
    if (!strangers->is_there)
        return;
    pthread_mutex_lock(&strangers->mutex);
    strangers->stopping = true;
    pthread_mutex_unlock(&strangers->mutex);
    pthread_cond_broadcast(&strangers->work);
    for (int i = 0; i < strangers->thread_count; i++)
        pthread_join(strangers->threads[i], NULL);
    pthread_mutex_destroy(&strangers->mutex);
    pthread_cond_destroy(&strangers->work);
}
