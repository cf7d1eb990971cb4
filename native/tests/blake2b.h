// BLAKE2b with a digest of 8 bytes and no key: RFC 7693. It names noises; see spec/streams.md.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace noisegate {

inline std::uint64_t blake2b_8(const std::string &text) {
    using U = std::uint64_t;
    constexpr U START[8] = {0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1,
                            0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179};
    constexpr unsigned char ORDER[10][16] = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
                                             {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
                                             {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
                                             {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
                                             {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
                                             {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
                                             {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
                                             {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
                                             {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
                                             {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0}};
    // Which four of the state are mixed: columns, then diagonals.
    constexpr unsigned char MIXED[8][4] = {{0, 4, 8, 12}, {1, 5, 9, 13}, {2, 6, 10, 14}, {3, 7, 11, 15},
                                           {0, 5, 10, 15}, {1, 6, 11, 12}, {2, 7, 8, 13}, {3, 4, 9, 14}};
    U h[8];
    for (int i = 0; i < 8; ++i) h[i] = START[i];
    h[0] ^= 0x01010000 ^ 8;  // no key, one leaf, 8 bytes
    std::size_t done = 0;
    do {
        U block[16] = {};
        const std::size_t taken = text.size() - done < 128 ? text.size() - done : 128;
        for (std::size_t i = 0; i < taken; ++i) {
            block[i / 8] |= U{static_cast<unsigned char>(text[done + i])} << 8 * (i % 8);
        }
        done += taken;
        U v[16];
        for (int i = 0; i < 8; ++i) {
            v[i] = h[i];
            v[i + 8] = START[i];
        }
        v[12] ^= done;
        if (done == text.size()) v[14] = ~v[14];
        for (int round = 0; round < 12; ++round) {
            for (int i = 0; i < 8; ++i) {
                U &a = v[MIXED[i][0]], &b = v[MIXED[i][1]], &c = v[MIXED[i][2]], &d = v[MIXED[i][3]];
                const auto turned = [](U value, int by) { return value >> by | value << (64 - by); };
                const unsigned char *const order = ORDER[round % 10];
                a += b + block[order[2 * i]];
                d = turned(d ^ a, 32);
                c += d;
                b = turned(b ^ c, 24);
                a += b + block[order[2 * i + 1]];
                d = turned(d ^ a, 16);
                c += d;
                b = turned(b ^ c, 63);
            }
        }
        for (int i = 0; i < 8; ++i) h[i] ^= v[i] ^ v[i + 8];
    } while (done < text.size());
    return h[0];
}

}  // namespace noisegate
