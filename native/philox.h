// Philox4x32-10, one block at a time; see spec/streams.md. Salmon, Moraes, Dror, Shaw (2011), Parallel random numbers.
#pragma once
#include <cstdint>

namespace noisegate {

static constexpr std::uint32_t FACTOR[2] = {0xD2511F53, 0xCD9E8D57};
static constexpr std::uint32_t WEYL[2] = {0x9E3779B9, 0xBB67AE85};
static constexpr unsigned ROUNDS = 10;

// Internal linkage, as in lanes/storage.h: each instruction set has its own.
static inline void philox(std::uint32_t (&c)[4], std::uint32_t k0, std::uint32_t k1) {
    for (unsigned i = 0; i < ROUNDS; ++i, k0 += WEYL[0], k1 += WEYL[1]) {
        const std::uint64_t p0 = std::uint64_t{c[0]} * FACTOR[0], p1 = std::uint64_t{c[2]} * FACTOR[1];
        c[0] = static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k0;
        c[1] = static_cast<std::uint32_t>(p1);
        c[2] = static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k1;
        c[3] = static_cast<std::uint32_t>(p0);
    }
}

}  // namespace noisegate
