// AVX-512 (F, BW, DQ, VL, CD): eight blocks, sixteen numbers of 32 bits.
#pragma once
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "storage.h"

namespace noisegate::avx512 {

constexpr char NAME[] = "AVX-512";
constexpr std::size_t BLOCKS = 8;  // of a Word
constexpr std::size_t WIDE = 16;   // numbers of 32 bits of a vector

// One word of each block's counter, in the low halves of 64 bits; the high halves are anything.
// Blocks lie in the order 0 4 1 5 2 6 3 7, so that `lanes` finds them in order.
struct Word {
    __m512i v;
};

inline Word same(std::uint32_t word) { return {_mm512_set1_epi64(word)}; }
inline Word counted(std::uint32_t first) {
    const __m512i order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
    return {_mm512_add_epi64(_mm512_set1_epi64(first), order)};
}
inline Word next(Word word, std::uint32_t by) { return {_mm512_add_epi64(word.v, _mm512_set1_epi64(by))}; }
inline Word plus(Word a, Word b) { return {_mm512_add_epi64(a.v, b.v)}; }
inline Word minus(Word a, Word b) { return {_mm512_sub_epi64(a.v, b.v)}; }
inline Word load(const std::uint32_t *words) {
    const __m512i wide = _mm512_cvtepu32_epi64(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(words)));
    return {_mm512_permutexvar_epi64(_mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7), wide)};
}
inline Word times(Word word, std::uint32_t factor) { return {_mm512_mul_epu32(word.v, _mm512_set1_epi64(factor))}; }
inline Word high(Word product) { return {_mm512_srli_epi64(product.v, 32)}; }
inline Word low(Word product) { return product; }
inline Word mix(Word a, Word b, Word c) { return {_mm512_ternarylogic_epi64(a.v, b.v, c.v, 0x96)}; }
inline Word mix(Word a, Word b) { return {_mm512_xor_si512(a.v, b.v)}; }

// The 16-bit lanes of BLOCKS blocks, in order.
struct Lanes {
    __m512i v[2];
};

inline __m512i beside(Word even, Word odd) {
    return _mm512_mask_shuffle_epi32(even.v, 0xAAAA, odd.v, _MM_PERM_CCAA);
}
inline Lanes lanes(Word w0, Word w1, Word w2, Word w3) {
    const __m512i first = beside(w0, w1), second = beside(w2, w3);
    return {{_mm512_unpacklo_epi64(first, second), _mm512_unpackhi_epi64(first, second)}};
}

// Write where lanes are at least `top`; return whether one equals it.
inline bool at_least(const Lanes &lanes, std::uint32_t top, std::uint8_t *out) {
    const __m512i t = _mm512_set1_epi16(static_cast<short>(top));
    __mmask32 equal = 0;
    for (int i = 0; i < 2; ++i) {
        const __mmask32 kept = _mm512_cmpge_epu16_mask(lanes.v[i], t);
        equal |= _mm512_cmpeq_epi16_mask(lanes.v[i], t);
        _mm256_storeu_si256(reinterpret_cast<__m256i *>(out + 32 * i), _mm256_movm_epi8(kept));
    }
    return equal != 0;
}

// Sixteen numbers of 32 bits.
struct Wide {
    __m512i v;
};

// Write high · 2¹⁶ + low of every lane, in order.
inline void join(const Lanes &high, const Lanes &low, std::uint32_t *out) {
    const __m512i to_low = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    const __m512i to_high = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    for (int i = 0; i < 2; ++i) {
        const __m512i a = _mm512_unpacklo_epi16(low.v[i], high.v[i]);
        const __m512i b = _mm512_unpackhi_epi16(low.v[i], high.v[i]);
        _mm512_storeu_si512(out + 32 * i, _mm512_permutex2var_epi64(a, to_low, b));
        _mm512_storeu_si512(out + 32 * i + 16, _mm512_permutex2var_epi64(a, to_high, b));
    }
}

inline Wide load_wide(const std::uint32_t *p) { return {_mm512_loadu_si512(p)}; }
inline Wide wide(std::uint32_t value) { return {_mm512_set1_epi32(static_cast<int>(value))}; }
inline Wide operator&(Wide a, Wide b) { return {_mm512_and_si512(a.v, b.v)}; }
inline Wide operator|(Wide a, Wide b) { return {_mm512_or_si512(a.v, b.v)}; }
inline Wide operator^(Wide a, Wide b) { return {_mm512_xor_si512(a.v, b.v)}; }
inline Wide operator+(Wide a, Wide b) { return {_mm512_add_epi32(a.v, b.v)}; }
inline Wide operator-(Wide a, Wide b) { return {_mm512_sub_epi32(a.v, b.v)}; }
inline Wide operator*(Wide a, Wide b) { return {_mm512_mullo_epi32(a.v, b.v)}; }
inline Wide high16(Wide a, Wide b) { return {_mm512_mulhi_epu16(a.v, b.v)}; }
template <int N> inline Wide left(Wide a) { return {_mm512_slli_epi32(a.v, N)}; }
template <int N> inline Wide right(Wide a) { return {_mm512_srli_epi32(a.v, N)}; }
inline Wide left(Wide a, Wide by) { return {_mm512_sllv_epi32(a.v, by.v)}; }
inline Wide sign(Wide a) { return {_mm512_srai_epi32(a.v, 31)}; }
// How many zeros stand before the first one.
inline Wide leading_zeros(Wide a) { return {_mm512_lzcnt_epi32(a.v)}; }

// The low and the high halves of rows of a table of 64-bit numbers.
inline __m128 two_rows(const std::uint64_t *table, const std::uint32_t *rows) {
    const __m128i first = _mm_loadl_epi64(reinterpret_cast<const __m128i *>(table + rows[0]));
    return _mm_loadh_pi(_mm_castsi128_ps(first), reinterpret_cast<const __m64 *>(table + rows[1]));
}
inline __m512i eight_rows(const std::uint64_t *table, const std::uint32_t *rows) {
    __m512 found = _mm512_castps128_ps512(two_rows(table, rows));
    found = _mm512_insertf32x4(found, two_rows(table, rows + 2), 1);
    found = _mm512_insertf32x4(found, two_rows(table, rows + 4), 2);
    return _mm512_castps_si512(_mm512_insertf32x4(found, two_rows(table, rows + 6), 3));
}
inline void look_up(const std::uint64_t *table, const std::uint32_t *rows, Wide &low, Wide &high) {
    const __m512i a = eight_rows(table, rows), b = eight_rows(table, rows + 8);
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    low = {_mm512_permutex2var_epi32(a, even, b)};
    high = {_mm512_permutex2var_epi32(a, _mm512_add_epi32(even, _mm512_set1_epi32(1)), b)};
}

struct Float {
    __m512 v;
};
inline Float to_float(Wide integers) { return {_mm512_cvtepi32_ps(integers.v)}; }
inline Float same(float value) { return {_mm512_set1_ps(value)}; }
inline Float operator*(Float a, Float b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Float operator+(Float a, Float b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Float load(const float *p) { return {_mm512_loadu_ps(p)}; }
inline void store(float *p, Float a) { _mm512_storeu_ps(p, a.v); }
inline Float load(const Half *p) {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(p)))};
}
inline void store(Half *p, Float a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(p), _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT));
}
inline Float load(const Brain *p) {
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(p)));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
}
inline void store(Brain *p, Float a) {
    const __m512i bits = _mm512_castps_si512(a.v);
    const __m512i half = _mm512_add_epi32(bits, _mm512_set1_epi32(0x7FFF)), one = _mm512_set1_epi32(1);
    const __mmask16 odd = _mm512_test_epi32_mask(bits, _mm512_set1_epi32(0x10000));
    const __mmask16 number = _mm512_cmp_ps_mask(a.v, a.v, _CMP_ORD_Q);
    const __m512i rounded = _mm512_mask_add_epi32(half, odd, half, one);
    const __m512i top = _mm512_mask_srli_epi32(_mm512_set1_epi32(0x7FC0), number, rounded, 16);
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(p), _mm512_cvtepi32_epi16(top));
}
inline __mmask16 kept(const std::uint8_t *keep) {
    return _mm_movepi8_mask(_mm_loadu_si128(reinterpret_cast<const __m128i *>(keep)));
}
inline Float where(const std::uint8_t *keep, Float a) { return {_mm512_maskz_mov_ps(kept(keep), a.v)}; }
inline Float where(const std::uint8_t *keep, Float a, Float other) {
    return {_mm512_mask_blend_ps(kept(keep), other.v, a.v)};
}

struct Double {
    __m512d v;
};
inline Double same(double value) { return {_mm512_set1_pd(value)}; }
inline Double operator*(Double a, Double b) { return {_mm512_mul_pd(a.v, b.v)}; }
inline Double operator+(Double a, Double b) { return {_mm512_add_pd(a.v, b.v)}; }
inline Double load(const double *p) { return {_mm512_loadu_pd(p)}; }
inline void store(double *p, Double a) { _mm512_storeu_pd(p, a.v); }
inline Double widened(const float *p) { return {_mm512_cvtps_pd(_mm256_loadu_ps(p))}; }
inline __mmask8 kept_of_eight(const std::uint8_t *keep) {
    return static_cast<__mmask8>(_mm_movepi8_mask(_mm_loadl_epi64(reinterpret_cast<const __m128i *>(keep))));
}
inline Double where(const std::uint8_t *keep, Double a) { return {_mm512_maskz_mov_pd(kept_of_eight(keep), a.v)}; }
inline Double where(const std::uint8_t *keep, Double a, Double other) {
    return {_mm512_mask_blend_pd(kept_of_eight(keep), other.v, a.v)};
}

// Some elements of a vector, from the first on.
inline __mmask16 first_of(std::size_t count) { return static_cast<__mmask16>((1u << count) - 1); }

inline Float load_some(const float *p, std::size_t count) { return {_mm512_maskz_loadu_ps(first_of(count), p)}; }
inline void store_some(float *p, Float a, std::size_t count) { _mm512_mask_storeu_ps(p, first_of(count), a.v); }
inline Double load_some(const double *p, std::size_t count) {
    return {_mm512_maskz_loadu_pd(static_cast<__mmask8>(first_of(count)), p)};
}
inline void store_some(double *p, Double a, std::size_t count) {
    _mm512_mask_storeu_pd(p, static_cast<__mmask8>(first_of(count)), a.v);
}

}  // namespace noisegate::avx512
