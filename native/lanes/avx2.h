// AVX2 with F16C: four blocks, eight numbers of 32 bits.
#pragma once
#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "storage.h"

namespace noisegate::avx2 {

constexpr char NAME[] = "AVX2";
constexpr std::size_t BLOCKS = 4;
constexpr std::size_t WIDE = 8;

// One word of each block's counter, in the low halves of 64 bits; the high halves are anything.
// Blocks lie in the order 0 2 1 3, so that `lanes` finds them in order.
struct Word {
    __m256i v;
};

inline Word same(std::uint32_t word) { return {_mm256_set1_epi64x(word)}; }
inline Word counted(std::uint32_t first) {
    return {_mm256_add_epi64(_mm256_set1_epi64x(first), _mm256_setr_epi64x(0, 2, 1, 3))};
}
inline Word next(Word word, std::uint32_t by) { return {_mm256_add_epi64(word.v, _mm256_set1_epi64x(by))}; }
inline Word plus(Word a, Word b) { return {_mm256_add_epi64(a.v, b.v)}; }
inline Word minus(Word a, Word b) { return {_mm256_sub_epi64(a.v, b.v)}; }
inline Word load(const std::uint32_t *words) {
    const __m256i wide = _mm256_cvtepu32_epi64(_mm_loadu_si128(reinterpret_cast<const __m128i *>(words)));
    return {_mm256_permute4x64_epi64(wide, 0xD8)};
}
inline Word times(Word word, std::uint32_t factor) { return {_mm256_mul_epu32(word.v, _mm256_set1_epi64x(factor))}; }
inline Word high(Word product) { return {_mm256_srli_epi64(product.v, 32)}; }
inline Word low(Word product) { return product; }
inline Word mix(Word a, Word b) { return {_mm256_xor_si256(a.v, b.v)}; }
inline Word mix(Word a, Word b, Word c) { return mix(a, mix(b, c)); }

// The 16-bit lanes of BLOCKS blocks, in order.
struct Lanes {
    __m256i v[2];
};

inline __m256i beside(Word even, Word odd) {
    return _mm256_blend_epi32(even.v, _mm256_slli_epi64(odd.v, 32), 0xAA);
}
inline Lanes lanes(Word w0, Word w1, Word w2, Word w3) {
    const __m256i first = beside(w0, w1), second = beside(w2, w3);
    return {{_mm256_unpacklo_epi64(first, second), _mm256_unpackhi_epi64(first, second)}};
}

// Write where lanes are at least `top`; return whether one equals it.
inline bool at_least(const Lanes &lanes, std::uint32_t top, std::uint8_t *out) {
    const __m256i t = _mm256_set1_epi16(static_cast<short>(top));
    const __m256i a = lanes.v[0], b = lanes.v[1];
    const __m256i kept_a = _mm256_cmpeq_epi16(_mm256_max_epu16(a, t), a);
    const __m256i kept_b = _mm256_cmpeq_epi16(_mm256_max_epu16(b, t), b);
    const __m256i equal = _mm256_or_si256(_mm256_cmpeq_epi16(a, t), _mm256_cmpeq_epi16(b, t));
    const __m256i bytes = _mm256_permute4x64_epi64(_mm256_packs_epi16(kept_a, kept_b), 0xD8);
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(out), bytes);
    return !_mm256_testz_si256(equal, equal);
}

// Eight numbers of 32 bits.
struct Wide {
    __m256i v;
};

// Write high · 2¹⁶ + low of every lane, in order.
inline void join(const Lanes &high, const Lanes &low, std::uint32_t *out) {
    __m256i *to = reinterpret_cast<__m256i *>(out);
    for (int i = 0; i < 2; ++i) {
        const __m256i a = _mm256_unpacklo_epi16(low.v[i], high.v[i]);
        const __m256i b = _mm256_unpackhi_epi16(low.v[i], high.v[i]);
        _mm256_storeu_si256(to + 2 * i, _mm256_permute2x128_si256(a, b, 0x20));
        _mm256_storeu_si256(to + 2 * i + 1, _mm256_permute2x128_si256(a, b, 0x31));
    }
}

inline Wide load_wide(const std::uint32_t *p) {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i *>(p))};
}
inline Wide wide(std::uint32_t value) { return {_mm256_set1_epi32(static_cast<int>(value))}; }
inline Wide operator&(Wide a, Wide b) { return {_mm256_and_si256(a.v, b.v)}; }
inline Wide operator|(Wide a, Wide b) { return {_mm256_or_si256(a.v, b.v)}; }
inline Wide operator^(Wide a, Wide b) { return {_mm256_xor_si256(a.v, b.v)}; }
inline Wide operator+(Wide a, Wide b) { return {_mm256_add_epi32(a.v, b.v)}; }
inline Wide operator-(Wide a, Wide b) { return {_mm256_sub_epi32(a.v, b.v)}; }
inline Wide operator*(Wide a, Wide b) { return {_mm256_mullo_epi32(a.v, b.v)}; }
inline Wide high16(Wide a, Wide b) { return {_mm256_mulhi_epu16(a.v, b.v)}; }
template <int N> inline Wide left(Wide a) { return {_mm256_slli_epi32(a.v, N)}; }
template <int N> inline Wide right(Wide a) { return {_mm256_srli_epi32(a.v, N)}; }
inline Wide left(Wide a, Wide by) { return {_mm256_sllv_epi32(a.v, by.v)}; }
inline Wide sign(Wide a) { return {_mm256_srai_epi32(a.v, 31)}; }
// How many zeros stand before the first one, for odd numbers: the exponent of a half of it, whose
// second and later ones are taken away where they might round it up.
inline Wide leading_zeros(Wide a) {
    const __m256i half = _mm256_srli_epi32(a.v, 1);
    const __m256i first = _mm256_andnot_si256(_mm256_srli_epi32(half, 1), half);
    const __m256i exponent = _mm256_srli_epi32(_mm256_castps_si256(_mm256_cvtepi32_ps(first)), 23);
    return {_mm256_sub_epi32(_mm256_set1_epi32(157), _mm256_max_epi32(exponent, _mm256_set1_epi32(126)))};
}

// The low and the high halves of rows of a table of 64-bit numbers.
inline __m128 two_rows(const std::uint64_t *table, const std::uint32_t *rows) {
    const __m128i first = _mm_loadl_epi64(reinterpret_cast<const __m128i *>(table + rows[0]));
    return _mm_loadh_pi(_mm_castsi128_ps(first), reinterpret_cast<const __m64 *>(table + rows[1]));
}
inline void look_up(const std::uint64_t *table, const std::uint32_t *rows, Wide &low, Wide &high) {
    const __m256 a = _mm256_set_m128(two_rows(table, rows + 2), two_rows(table, rows));
    const __m256 b = _mm256_set_m128(two_rows(table, rows + 6), two_rows(table, rows + 4));
    const __m256i even = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0x88));
    const __m256i odd = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0xDD));
    low = {_mm256_permute4x64_epi64(even, 0xD8)};
    high = {_mm256_permute4x64_epi64(odd, 0xD8)};
}

struct Float {
    __m256 v;
};
inline Float to_float(Wide integers) { return {_mm256_cvtepi32_ps(integers.v)}; }
inline Float same(float value) { return {_mm256_set1_ps(value)}; }
inline Float operator*(Float a, Float b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline Float operator+(Float a, Float b) { return {_mm256_add_ps(a.v, b.v)}; }
inline Float load(const float *p) { return {_mm256_loadu_ps(p)}; }
inline void store(float *p, Float a) { _mm256_storeu_ps(p, a.v); }
inline Float load(const Half *p) { return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i *>(p)))}; }
inline void store(Half *p, Float a) {
    _mm_storeu_si128(reinterpret_cast<__m128i *>(p), _mm256_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT));
}
inline Float load(const Brain *p) {
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i *>(p)));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(wide, 16))};
}
inline void store(Brain *p, Float a) {
    const __m256i bits = _mm256_castps_si256(a.v);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i top = _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF))), 16);
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a.v, a.v, _CMP_UNORD_Q));
    top = _mm256_blendv_epi8(top, _mm256_set1_epi32(0x7FC0), nan);
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(top, top), 0xD8);
    _mm_storeu_si128(reinterpret_cast<__m128i *>(p), _mm256_castsi256_si128(packed));
}
inline __m256i mask32(const std::uint8_t *keep) {
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i *>(keep)));
}
inline Float where(const std::uint8_t *keep, Float a) {
    return {_mm256_and_ps(a.v, _mm256_castsi256_ps(mask32(keep)))};
}
inline Float where(const std::uint8_t *keep, Float a, Float other) {
    return {_mm256_blendv_ps(other.v, a.v, _mm256_castsi256_ps(mask32(keep)))};
}

struct Double {
    __m256d v;
};
inline Double same(double value) { return {_mm256_set1_pd(value)}; }
inline Double operator*(Double a, Double b) { return {_mm256_mul_pd(a.v, b.v)}; }
inline Double operator+(Double a, Double b) { return {_mm256_add_pd(a.v, b.v)}; }
inline Double load(const double *p) { return {_mm256_loadu_pd(p)}; }
inline void store(double *p, Double a) { _mm256_storeu_pd(p, a.v); }
inline Double widened(const float *p) { return {_mm256_cvtps_pd(_mm_loadu_ps(p))}; }
inline __m256d mask64(const std::uint8_t *keep) {
    int four;
    std::memcpy(&four, keep, sizeof four);
    return _mm256_castsi256_pd(_mm256_cvtepi8_epi64(_mm_cvtsi32_si128(four)));
}
inline Double where(const std::uint8_t *keep, Double a) { return {_mm256_and_pd(a.v, mask64(keep))}; }
inline Double where(const std::uint8_t *keep, Double a, Double other) {
    return {_mm256_blendv_pd(other.v, a.v, mask64(keep))};
}

}  // namespace noisegate::avx2
