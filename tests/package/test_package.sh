#!/usr/bin/env bash
# Installs the build into a temporary prefix and uses it from there as a stranger would: find_package with the shared and the
# static library, from C and from C++, and pkg-config, shared and static. Each program compares versions, plans a topology, and sends a record through the log.
set -euo pipefail
build=${WEIR_BUILD_DIR:-build/release}
work=$(mktemp -d "${TMPDIR:-/tmp}/weir-package.XXXXXX")
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix
cmake --install "$build" --prefix "$prefix" >"$work/install.log"

libraries=$(dirname "$(find "$prefix" -name libweir.so)")
for file in "$prefix"/bin/weir "$prefix"/include/weir.h "$libraries"/libweir.so.0 "$libraries"/libweir.a \
    "$libraries"/pkgconfig/weir.pc "$libraries"/cmake/weir/weir-config.cmake "$libraries"/cmake/weir/weir-config-version.cmake; do
    [ -e "$file" ] || { echo "not installed: ${file#"$prefix"/}"; exit 1; }
done
[ "$(find "$prefix/include" -type f | wc -l)" = 1 ] || { echo "weir.h is the only public header"; exit 1; }

cat >"$work/user.c" <<'END'
#include <stdio.h>
#include <string.h>
#include <weir.h>

static int there_and_back(const char *directory)
{
    weir_log *log;
    weir_producer *producer;
    weir_consumer *consumer;
    weir_record record;
    weir_consumer_options options;
    const weir_record *records;
    const char *topic = "events";
    size_t count = 0;
    memset(&record, 0, sizeof record);
    memset(&options, 0, sizeof options);
    record.topic = topic;
    record.value = "hello";
    record.value_size = 5;
    options.topics = &topic;
    options.topic_count = 1;
    if (weir_log_open(directory, NULL, &log) < 0)
        return -1;
    weir_topic_create(log, topic, 1, NULL, 0);
    if (weir_producer_open(log, NULL, &producer) < 0 || weir_send(producer, &record) < 0 || weir_producer_close(producer) < 0 ||
        weir_consumer_open(log, &options, &consumer) < 0 || weir_poll(consumer, 5000, &records, &count) < 0 || count == 0 ||
        memcmp(records[0].value, "hello", 5) != 0)
        return -1;
    weir_consumer_close(consumer);
    return weir_log_close(log);
}

int main(int argc, char **argv)
{
    char version[32];
    if (argc != 2)
        return 2;
    snprintf(version, sizeof version, "%d.%d.%d", WEIR_VERSION_MAJOR, WEIR_VERSION_MINOR, WEIR_VERSION_PATCH);
    weir_app *app = weir_app_open("user", NULL);
    weir_stream *paid = weir_filter(weir_source(app, "orders", WEIR_JSON, "ts"), "status = 'paid'");
    weir_to(weir_aggregate(weir_tumbling(weir_group_by(paid, "region"), WEIR_HOURS(1)), "count(*) AS orders"), "sums");
    int rc = weir_app_check(app);
    if (rc < 0)
        fprintf(stderr, "%s\n", weir_app_error(app));
    weir_app_close(app);
    return rc < 0 || strcmp(version, weir_version()) != 0 || there_and_back(argv[1]) < 0;
}
END
cp "$work/user.c" "$work/user.cc"

# A project in C alone must do: that the library holds some C++ is its own business.
mkdir "$work/c" "$work/cxx"
cat >"$work/c/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.16)
project(user C)
find_package(weir 0.1 REQUIRED)
foreach(kind weir static)
  add_executable(c_${kind} ../user.c)
  target_link_libraries(c_${kind} weir::${kind})
endforeach()
END
sed -e 's/user C)/user CXX)/' -e 's/c_/cxx_/g' -e 's/user\.c/user.cc/' "$work/c/CMakeLists.txt" >"$work/cxx/CMakeLists.txt"
for language in c cxx; do
    cmake -S "$work/$language" -B "$work/$language/build" -DCMAKE_PREFIX_PATH="$prefix" >"$work/$language.log" 2>&1 &&
        cmake --build "$work/$language/build" >>"$work/$language.log" 2>&1 || { tail -n 30 "$work/$language.log"; exit 1; }
    for kind in weir static; do
        "$work/$language/build/${language}_$kind" "$work/data" && echo "ok: find_package, $language, weir::$kind"
    done
done
sed -i 's/weir 0.1/weir 7.0/' "$work/c/CMakeLists.txt"
if cmake -S "$work/c" -B "$work/wrong" -DCMAKE_PREFIX_PATH="$prefix" >"$work/wrong.log" 2>&1; then
    echo "find_package accepts a version that is not there"; exit 1
fi

export PKG_CONFIG_PATH=$libraries/pkgconfig
cc=${CC:-cc}
$cc "$work/user.c" -o "$work/shared" $(pkg-config --cflags --libs weir)
LD_LIBRARY_PATH=$libraries "$work/shared" "$work/data" && echo "ok: pkg-config"
$cc "$work/user.c" -o "$work/static" $(pkg-config --cflags weir) "$libraries/libweir.a" $(pkg-config --static --libs weir | sed 's/-lweir//')
"$work/static" "$work/data" && echo "ok: pkg-config --static"
"$prefix/bin/weir" version
