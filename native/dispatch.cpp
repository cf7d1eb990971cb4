// Which kernels this processor can run.
#include <cstring>

#include "kernels.h"
#include "lanes/storage.h"

#if defined(NOISEGATE_HAS_AVX2) || defined(NOISEGATE_HAS_AVX512)
#if defined(_MSC_VER)
#include <immintrin.h>
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#endif

namespace noisegate {

namespace avx512 {
const Kernels *table();
}
namespace avx2 {
const Kernels *table();
}
namespace neon {
const Kernels *table();
}
namespace portable {
const Kernels *table();
}

namespace {

#if defined(NOISEGATE_HAS_AVX2) || defined(NOISEGATE_HAS_AVX512)
#if defined(_MSC_VER)
bool has(bool wide) {
    int id[4];
    __cpuid(id, 0);
    if (id[0] < 7) return false;
    __cpuid(id, 1);
    constexpr int OSXSAVE = 1 << 27, AVX = 1 << 28, F16C = 1 << 29, FMA = 1 << 12;
    constexpr int first = OSXSAVE | AVX | F16C | FMA;
    if ((id[2] & first) != first) return false;
    const unsigned long long saved = _xgetbv(0), needed = wide ? 0xE6 : 0x6;
    __cpuidex(id, 7, 0);
    constexpr int AVX2 = 1 << 5, F = 1 << 16, DQ = 1 << 17, CD = 1 << 28, BW = 1 << 30;
    const auto VL = static_cast<int>(1u << 31);
    const int asked = wide ? AVX2 | F | DQ | CD | BW | VL : AVX2;
    return (saved & needed) == needed && (id[1] & asked) == asked;
}
#else
bool has(bool wide) {
    // Not every compiler knows F16C by name.
    unsigned a, b, c = 0, d;
    const bool halves = __get_cpuid(1, &a, &b, &c, &d) && c & bit_F16C;
    const bool narrow = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && halves;
    return narrow && (!wide || (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                                __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                                __builtin_cpu_supports("avx512cd")));
}
#endif
#endif

struct Choice {
    const char *name;
    const Kernels *kernels;
};

const Kernels *found(const char *name) {
    const Choice choices[] = {
#if defined(NOISEGATE_HAS_AVX512)
        {"avx512", has(true) ? avx512::table() : nullptr},
#endif
#if defined(NOISEGATE_HAS_AVX2)
        {"avx2", has(false) ? avx2::table() : nullptr},
#endif
#if defined(NOISEGATE_HAS_NEON)
        {"neon", neon::table()},
#endif
        {"portable", portable::table()},
    };
    for (const Choice &choice : choices) {
        if (choice.kernels && (!name || std::strcmp(name, choice.name) == 0)) return choice.kernels;
    }
    return nullptr;
}

}  // namespace

const Kernels &kernels() {
    static const Kernels &best = *found(nullptr);
    return best;
}

const Kernels *kernels_named(const char *name) { return found(name); }

std::uint64_t bits_of(double value, Type type) {
    const auto single = static_cast<float>(value);
    switch (type) {
    case Type::half: return to_half(single).bits;
    case Type::brain: return to_brain(single).bits;
    case Type::single: return bits_of_float(single);
    default: {
        std::uint64_t bits;
        std::memcpy(&bits, &value, sizeof bits);
        return bits;
    }
    }
}

}  // namespace noisegate
