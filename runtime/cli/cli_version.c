/* cli_version.c: weir version. */
#include "runtime/cli/nouns.h"
#include "runtime/weir.h"

#include <sys/utsname.h>
#include <unistd.h>

static int run_version(struct cli *cli)
{
    buf_printf(&out, "weir %s\n", weir_version());
    if (!flag_is_on(cli, "verbose"))
        return EXIT_OK;
    struct utsname system;
    bool known = uname(&system) == 0;
#if defined(__clang__)
    buf_printf(&out, "compiler     clang %s\n", __clang_version__);
#else
    buf_printf(&out, "compiler     gcc %s\n", __VERSION__);
#endif
#if defined(__OPTIMIZE__)
    out_text("build        optimised\n");
#else
    out_text("build        not optimised\n");
#endif
    buf_printf(&out, "header       %d.%d.%d\n", WEIR_VERSION_MAJOR, WEIR_VERSION_MINOR,
               WEIR_VERSION_PATCH);
    out_text("formats      record batch v2; codecs read and written: none gzip snappy lz4 zstd\n");
    if (known)
        buf_printf(&out, "system       %s %s %s, %ld processors, pages of %ld bytes\n",
                   system.sysname, system.release, system.machine, sysconf(_SC_NPROCESSORS_ONLN),
                   sysconf(_SC_PAGESIZE));
    return EXIT_OK;
}

static const struct flag version_flags[] = {
    {"verbose", NULL, "compiler, formats and system too", false, 'v'},
    {NULL, NULL, NULL, false, 0},
};

const struct command command_version = {
    .noun = "version",
    .arguments = "",
    .summary = "what this program is",
    .details = "",
    .examples = "  weir version --verbose\n",
    .flags = version_flags,
    .no_data = true,
    .run = run_version,
};
