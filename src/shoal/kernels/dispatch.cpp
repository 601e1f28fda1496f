// Chooses the widest variant the processor runs; SHOAL_KERNEL (read by the Python face) overrides it.
#include "api.hpp"
#include <atomic>
#include <cstring>
#include <initializer_list>

namespace shoal {
namespace {

bool processor_runs(const char *name) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!std::strcmp(name, "avx512"))
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
    if (!std::strcmp(name, "avx2")) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return !std::strcmp(name, "portable");
}

const Variant *find(const char *name) {
    for (const Variant *v : {avx512_variant(), avx2_variant(), portable_variant()})
        if (v && !std::strcmp(v->name, name) && processor_runs(name)) return v;
    return nullptr;
}

const Variant *widest() {
    for (const char *name : {"avx512", "avx2"})
        if (const Variant *v = find(name)) return v;
    return portable_variant();
}

std::atomic<const Variant *> chosen{nullptr};

} // namespace

const Variant &current_variant() {
    const Variant *v = chosen.load();
    if (!v) chosen.store(v = widest());
    return *v;
}

bool variant_supported(const char *name) { return find(name) != nullptr; }

bool select_variant(const char *name) {
    const Variant *v = find(name);
    if (v) chosen.store(v);
    return v != nullptr;
}

} // namespace shoal
