/* app_hold.c: see app_hold.h. The word goes through one atomic: who holds says WANTED, the run's main thread parks the workers and says
 * HELD, and whoever ends it says NONE: the holder, or the main thread when the run ends. */
#include "runtime/app_hold.h"

#include "runtime/base/clock.h"
#include "runtime/run.h"

enum { LOOK_NS = 2000000 };

/* Its main thread is to look. false: the app does not run. */
static bool wake(struct weir_app *app)
{
    pthread_mutex_lock(&app->mutex);
    struct run *run = app->run;
    if (run != NULL) {
        pthread_mutex_lock(&run->mutex);
        pthread_cond_broadcast(&run->changed);
        pthread_mutex_unlock(&run->mutex);
    }
    pthread_mutex_unlock(&app->mutex);
    return run != NULL;
}

int app_hold(struct weir_app *app, int64_t until_ns)
{
    int none = APP_HOLD_NONE, wanted = APP_HOLD_WANTED, hold;
    if (!atomic_compare_exchange_strong(&app->hold, &none, APP_HOLD_WANTED))
        return ERR_BUSY;
    bool is_running = wake(app);
    while ((hold = atomic_load(&app->hold)) == APP_HOLD_WANTED && is_running &&
           clock_mono_ns() < until_ns)
        clock_sleep_until(clock_mono_ns() + LOOK_NS);
    if (hold == APP_HOLD_NONE)
        return ERR_STATE;
    if (hold == APP_HOLD_HELD ||
        !atomic_compare_exchange_strong(&app->hold, &wanted, APP_HOLD_NONE))
        return wanted == APP_HOLD_NONE ? ERR_STATE : 0;
    return is_running ? ERR_TIMEOUT : ERR_STATE;
}

bool app_is_held(const struct weir_app *app)
{
    return atomic_load(&app->hold) == APP_HOLD_HELD;
}

void app_release(struct weir_app *app)
{
    int held = APP_HOLD_HELD;
    if (atomic_compare_exchange_strong(&app->hold, &held, APP_HOLD_NONE))
        (void)wake(app);
}
