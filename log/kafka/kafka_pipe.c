/* kafka_pipe.c: pipes that carry records from a file to a socket, between two uses.
 *
 * A worker fills one for each partition of a Fetch (partition_fetch_into_pipe), the loop empties it into the client's socket (kafka_stream.c). A pipe holds pages
 * of the page cache and no copy of them; what it costs is two descriptors and PIPE_BYTES of what the system allows pipes to hold. So there are PIPES of them in all,
 * made when they are first needed, and who gets none copies as before. One that is given back with something in it is closed.
 *
 * Threads: workers and the loop. */
#include "log/kafka/kafka_internal.h"

#include <fcntl.h>
#include <unistd.h>

void kafka_pipes_init(struct kafka_pipes *pipes)
{
    *pipes = (struct kafka_pipes){0};
    pthread_mutex_init(&pipes->mutex, NULL);
}

static void close_pipe(const struct kafka_pipe *pipe)
{
    close(pipe->read_fd);
    close(pipe->write_fd);
}

void kafka_pipes_deinit(struct kafka_pipes *pipes)
{
    must(pipes->count == pipes->spare_count);
    for (int i = 0; i < pipes->spare_count; i++)
        close_pipe(&pipes->spares[i]);
    pthread_mutex_destroy(&pipes->mutex);
}

static bool make_pipe(struct kafka_pipe *made)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0)
        return false;
    *made = (struct kafka_pipe){fds[0], fds[1]};
    if (fcntl(made->write_fd, F_SETPIPE_SZ, KAFKA_PIPE_BYTES) >= KAFKA_PIPE_BYTES)
        return true;
    close_pipe(made); /* the user has too many large ones already (pipe-user-pages-soft) */
    return false;
}

bool kafka_pipe_take(struct kafka_pipes *pipes, struct kafka_pipe *pipe)
{
    pthread_mutex_lock(&pipes->mutex);
    bool taken = pipes->spare_count > 0;
    if (taken) {
        *pipe = pipes->spares[--pipes->spare_count];
    } else if (pipes->count < PIPES && !pipes->refused) {
        taken = make_pipe(pipe);
        pipes->count += taken;
        pipes->refused = !taken;
    }
    pthread_mutex_unlock(&pipes->mutex);
    return taken;
}

void kafka_pipe_give(struct kafka_pipes *pipes, const struct kafka_pipe *pipe, bool is_empty)
{
    pthread_mutex_lock(&pipes->mutex);
    if (is_empty) {
        pipes->spares[pipes->spare_count++] = *pipe;
    } else {
        close_pipe(pipe);
        pipes->count--;
    }
    pthread_mutex_unlock(&pipes->mutex);
}

void kafka_request_drop_pieces(struct kafka_request *request)
{
    for (size_t i = 0; i < request->piece_count; i++) {
        const struct kafka_piece *piece = &request->pieces[i];
        kafka_pipe_give(request->pipes, &piece->pipe, piece->size == 0);
    }
    request->piece_count = 0;
    request->pieces_bytes = 0;
}
