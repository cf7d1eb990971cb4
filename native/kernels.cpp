// The kernels, written once over lanes and compiled once for each instruction set.
//
// No template of the standard library is used here: of functions that objects share, the linker
// keeps one, and it may be that of the widest instruction set.
#include "kernels.h"

#include <cstring>

#include "normal_table.h"
#include "philox.h"

#if !defined(NOISEGATE_LANES)
#error "define NOISEGATE_LANES as the name of a file in lanes/"
#endif
#define NOISEGATE_TEXT_OF(x) #x
#define NOISEGATE_TEXT(x) NOISEGATE_TEXT_OF(x)
#define NOISEGATE_LANES_FILE(x) NOISEGATE_TEXT(lanes/x.h)
#include NOISEGATE_LANES_FILE(NOISEGATE_LANES)

namespace noisegate::NOISEGATE_LANES {
namespace {

// Groups of BLOCKS that are computed side by side: multiplications wait for each other else.
constexpr std::size_t SIDE = GROUP / BLOCKS > 2 ? 2 : GROUP / BLOCKS;

// Elements that are computed at a time.
constexpr std::size_t GROUPED = 8 * SIDE * BLOCKS;

struct Counter {
    Word c[4];
};

// The key of every round, spread over a vector once: not again for every group.
class Keys {
  public:
    explicit Keys(const std::uint32_t (&key)[2]) {
        for (std::uint32_t i = 0; i < ROUNDS; ++i) {
            for (unsigned j = 0; j < 2; ++j) of_[i][j] = same(key[j] + i * WEYL[j]);
        }
    }

    template <unsigned FROM> inline void turn(Counter (&at)[SIDE]) const {
        for (unsigned i = FROM; i < ROUNDS; ++i) {
            for (Counter &a : at) {
                const auto p0 = times(a.c[0], FACTOR[0]), p1 = times(a.c[2], FACTOR[1]);
                a = {{mix(high(p1), a.c[1], of_[i][0]), low(p1), mix(high(p0), a.c[3], of_[i][1]), low(p0)}};
            }
        }
    }

  private:
    Word of_[ROUNDS][2];
};

// Blocks that follow each other. Of the first two rounds half is the same for all of them.
class OfRun {
  public:
    OfRun(const Keys &keys, const std::uint32_t (&key)[2], std::uint32_t step, Run run) : keys_(keys) {
        const std::uint64_t p1 = std::uint64_t{run.high} * FACTOR[1];
        const auto c0 = static_cast<std::uint32_t>(p1 >> 32) ^ run.low ^ key[0];
        const std::uint64_t p0 = std::uint64_t{c0} * FACTOR[0];
        k1_ = step ^ key[1];
        c1_ = static_cast<std::uint32_t>(p1) ^ (key[0] + WEYL[0]);
        c2_ = static_cast<std::uint32_t>(p0 >> 32) ^ (key[1] + WEYL[1]);
        c3_ = static_cast<std::uint32_t>(p0);
        for (std::size_t s = 0; s < SIDE; ++s) {
            blocks_[s] = counted(run.block + static_cast<std::uint32_t>(s * BLOCKS));
        }
    }

    inline void next_into(Lanes (&out)[SIDE]) {
        Counter at[SIDE];
        for (std::size_t s = 0; s < SIDE; ++s) {
            const auto first = times(blocks_[s], FACTOR[0]);
            const auto second = times(mix(high(first), same(k1_)), FACTOR[1]);
            at[s] = {{mix(high(second), same(c1_)), low(second), mix(low(first), same(c2_)), same(c3_)}};
            blocks_[s] = next(blocks_[s], SIDE * BLOCKS);
        }
        keys_.turn<2>(at);
        for (std::size_t s = 0; s < SIDE; ++s) out[s] = lanes(at[s].c[0], at[s].c[1], at[s].c[2], at[s].c[3]);
    }

  private:
    const Keys &keys_;
    std::uint32_t k1_, c1_, c2_, c3_;
    Word blocks_[SIDE];
};

// Rows of few blocks. In which row a block is, and where in it, comes of its number in the grid by a product with
// the inverse of a row's length, which is exact for so few.
class OfGrid {
  public:
    OfGrid(const Keys &keys, const std::uint32_t (&)[2], std::uint32_t step, Grid grid)
        : keys_(keys), step_(step), grid_(grid),
          inverse_(static_cast<std::uint32_t>((std::uint64_t{1} << 32) / grid.blocks + 1)) {
        for (std::size_t s = 0; s < SIDE; ++s) numbers_[s] = counted(static_cast<std::uint32_t>(s * BLOCKS));
    }

    inline void next_into(Lanes (&out)[SIDE]) {
        Counter at[SIDE];
        for (std::size_t s = 0; s < SIDE; ++s) {
            const Word row = high(times(numbers_[s], inverse_));
            const Word block = minus(numbers_[s], low(times(row, grid_.blocks)));
            at[s] = {{plus(block, same(grid_.block)), plus(low(times(row, grid_.step)), same(grid_.low)),
                      same(grid_.high), same(step_)}};
            numbers_[s] = next(numbers_[s], SIDE * BLOCKS);
        }
        keys_.turn<0>(at);
        for (std::size_t s = 0; s < SIDE; ++s) out[s] = lanes(at[s].c[0], at[s].c[1], at[s].c[2], at[s].c[3]);
    }

  private:
    const Keys &keys_;
    const std::uint32_t step_;
    const Grid grid_;
    const std::uint32_t inverse_;
    Word numbers_[SIDE];
};

// Any blocks.
class OfList {
  public:
    OfList(const Keys &keys, const std::uint32_t (&)[2], std::uint32_t step, List list)
        : keys_(keys), step_(step), list_(list) {}

    inline void next_into(Lanes (&out)[SIDE]) {
        Counter at[SIDE];
        for (std::size_t s = 0; s < SIDE; ++s) {
            const std::size_t i = at_ + s * BLOCKS;
            at[s] = {{load(list_.block + i), load(list_.low + i), load(list_.high + i), same(step_)}};
        }
        at_ += SIDE * BLOCKS;
        keys_.turn<0>(at);
        for (std::size_t s = 0; s < SIDE; ++s) out[s] = lanes(at[s].c[0], at[s].c[1], at[s].c[2], at[s].c[3]);
    }

  private:
    const Keys &keys_;
    std::uint32_t step_;
    List list_;
    std::size_t at_ = 0;
};

inline Run block_of(Run run, std::size_t i) { return {run.block + static_cast<std::uint32_t>(i), run.low, run.high}; }
inline Run block_of(Grid grid, std::size_t i) {
    const auto row = static_cast<std::uint32_t>(i / grid.blocks), block = static_cast<std::uint32_t>(i % grid.blocks);
    return {grid.block + block, grid.low + row * grid.step, grid.high};
}
inline Run block_of(List list, std::size_t i) { return {list.block[i], list.low[i], list.high[i]}; }

// The lanes of one block.
void single(const std::uint32_t (&key)[2], std::uint32_t step, Run block, std::uint16_t (&out)[8]) {
    std::uint32_t c[4] = {block.block, block.low, block.high, step};
    philox(c, key[0], key[1]);
    for (unsigned i = 0; i < 8; ++i) out[i] = static_cast<std::uint16_t>(c[i >> 1] >> 16 * (i & 1));
}

// Decide by plane 1 where plane 0 ties; what ties is kept so far. One block in 8192 comes here.
template <class Where> void untie(const Number &number, Threshold t, Where where, std::size_t first, Byte *out) {
    for (std::size_t i = 0; i < SIDE * BLOCKS; ++i) {
        std::uint16_t high[8], low[8];
        single(number.high, number.step, block_of(where, first + i), high);
        for (unsigned j = 0; j < 8; ++j) {
            if (high[j] != t.top) continue;
            single(number.low, number.step, block_of(where, first + i), low);
            out[8 * i + j] = low[j] < t.bottom ? 0 : 0xFF;
        }
    }
}

// Decide on the next elements of a source: SIDE * BLOCKS blocks, of which this one is the first.
template <class Source, class Where>
inline void decide(Source &source, const Number &number, Threshold t, Where where, std::size_t first, Byte *out) {
    Lanes lanes[SIDE];
    source.next_into(lanes);
    bool tie = false;
    for (std::size_t s = 0; s < SIDE; ++s) tie |= at_least(lanes[s], t.top, out + 8 * s * BLOCKS);
    if (tie && t.bottom) untie(number, t, where, first, out);
}

template <class Source, class Where>
void keep(const Number &number, Threshold t, Where where, std::size_t count, Byte *out) {
    const Keys keys(number.high);
    Source source(keys, number.high, number.step, where);
    for (std::size_t i = 0; i < count; i += SIDE * BLOCKS) decide(source, number, t, where, i, out + 8 * i);
}

template <class Source> inline void next_words(Source &first, Source &second, std::uint32_t *out) {
    Lanes high[SIDE], low[SIDE];
    first.next_into(high);
    second.next_into(low);
    for (std::size_t s = 0; s < SIDE; ++s) join(high[s], low[s], out + 8 * s * BLOCKS);
}

template <class Source, class Where>
void words(const Number &number, Where where, std::size_t count, std::uint32_t *out) {
    const Keys high(number.high), low(number.low);
    Source first(high, number.high, number.step, where), second(low, number.low, number.step, where);
    for (std::size_t i = 0; i < count; i += SIDE * BLOCKS) next_words(first, second, out + 8 * i);
}

template <std::size_t SIZE> inline void pack_by(const char *from, std::size_t from_step, char *to, std::size_t to_step,
                                               std::size_t length, std::size_t rows) {
    for (std::size_t row = 0; row < rows; ++row, from += from_step, to += to_step) {
        for (std::size_t i = 0; i < length; i += SIZE) std::memcpy(to + i, from + i, SIZE);
    }
}

void pack(const void *from, std::size_t from_step, void *to, std::size_t to_step, std::size_t length,
          std::size_t rows) {
    auto *const by = length <= 16 ? pack_by<16> : pack_by<32>;
    by(static_cast<const char *>(from), from_step, static_cast<char *>(to), to_step, length, rows);
}

// Numbers take the place of words; they are of one size.
inline void put(std::uint32_t *words, Float value) { store(reinterpret_cast<float *>(words), value); }

void uniform(std::uint32_t *words, std::size_t count) {
    for (std::size_t i = 0; i < count; i += WIDE) {
        const Wide odd = left<1>(right<8>(load_wide(words + i))) - wide((1u << 24) - 1);
        put(words + i, to_float(odd) * same(0x1p-24f));
    }
}

inline void put(std::uint32_t *words, Wide value) { std::memcpy(words, &value.v, sizeof value.v); }

// See spec/normal.md, whose letters these are. Rows go through memory, some at a time: taken out of
// a vector one by one they cost more than all the rest.
void normal(std::uint32_t *words, std::size_t count) {
    constexpr std::size_t some = 64;
    const Wide fraction = wide(0xFFFF);
    alignas(64) std::uint32_t rows[some];
    for (std::size_t begin = 0; begin < count; begin += some, words += some) {
        for (std::size_t i = 0; i < some; i += WIDE) {
            const Wide w = load_wide(words + i);
            const Wide v = left<1>(w) | wide(1);
            const Wide zeros = leading_zeros(v);
            const Wide t = left(left<1>(v), zeros);
            put(rows + i, left<5>(wide(31) - zeros) + right<27>(t));
            put(words + i, (w & wide(0x80000000)) | (right<11>(t) & fraction));
        }
        for (std::size_t i = 0; i < some; i += WIDE) {
            const Wide signed_f = load_wide(words + i), f = signed_f & fraction, minus = sign(signed_f);
            const Wide g = high16(f, f ^ fraction);
            Wide a, dc;
            look_up(NORMAL, rows + i, a, dc);
            const Wide bow = (dc & fraction) * f + right<16>(dc) * g;
            const Wide magnitude = a - right<10>(bow);
            put(words + i, to_float((magnitude ^ minus) - minus) * same(0x1p-27f));
        }
    }
}

// Computed in: float32, but for float64.
template <class T> struct In {
    using Number = float;
    using Vector = Float;
    static constexpr std::size_t size = WIDE;
    static Vector noise(const float *z) { return load(z); }
};
template <> struct In<double> {
    using Number = double;
    using Vector = Double;
    static constexpr std::size_t size = WIDE / 2;
    static Vector noise(const float *z) { return widened(z); }
};

// Vectors of which only some elements are there; lanes that have masks do without a copy.
template <class T> inline auto load_some(const T *p, std::size_t count) {
    T all[In<T>::size] = {};
    std::memcpy(all, p, count * sizeof(T));
    return load(all);
}
template <class T, class V> inline void store_some(T *p, V values, std::size_t count) {
    T all[In<T>::size];
    store(all, values);
    std::memcpy(p, all, count * sizeof(T));
}

// Make vectors of y from those of x; of the last one there may be only some.
template <class T, class F> inline void strip(std::size_t count, const void *from, void *to, F function) {
    constexpr std::size_t size = In<T>::size;
    const T *x = static_cast<const T *>(from);
    T *y = static_cast<T *>(to);
    std::size_t i = 0;
    for (; i + size <= count; i += size) store(y + i, function(i, load(x + i)));
    if (i < count) store_some(y + i, function(i, load_some(x + i, count - i)), count - i);
}

template <class T>
void masked(std::size_t count, const void *x, void *y, const Byte *keep, const Affine &affine) {
    using Number = typename In<T>::Number;
    const auto gain = same(static_cast<Number>(affine.gain)), shift = same(static_cast<Number>(affine.shift));
    const auto fill = same(static_cast<Number>(affine.fill));
    if (!keep) {
        strip<T>(count, x, y, [&](std::size_t, auto in) { return affine.adds ? in * gain + shift : in * gain; });
    } else if (!affine.adds && !affine.fills) {
        strip<T>(count, x, y, [&](std::size_t i, auto in) { return where(keep + i, in * gain); });
    } else if (!affine.adds) {
        strip<T>(count, x, y, [&](std::size_t i, auto in) { return where(keep + i, in * gain, fill); });
    } else {
        strip<T>(count, x, y, [&](std::size_t i, auto in) { return where(keep + i, in * gain + shift, fill); });
    }
}

// Call a function with every one of rows that follow each other.
template <class T, class F> inline void each(Run run, Elements rows, const void *from, void *to, F function) {
    const T *x = static_cast<const T *>(from);
    T *y = static_cast<T *>(to);
    std::uint64_t id = std::uint64_t{run.high} << 32 | run.low;
    for (std::size_t i = 0; i < rows.count; ++i, id += rows.step, x += rows.x, y += rows.y) {
        function(Run{run.block, static_cast<std::uint32_t>(id), static_cast<std::uint32_t>(id >> 32)}, x, y);
    }
}

// Draw and apply a few at a time: while some are computed, others are on their way from and to memory.
template <class T, class Draw, class Apply>
inline void at_once(std::size_t lead, std::size_t count, const void *x, void *y, Draw draw, Apply apply) {
    for (std::size_t i = 0; i < lead + count; i += GROUPED) {
        draw(i / 8);
        const auto part = [&](std::size_t from, std::size_t some) {
            strip<T>(some, static_cast<const T *>(x) + (i + from - lead), static_cast<T *>(y) + (i + from - lead),
                     [&](std::size_t j, auto in) { return apply(from + j, in); });
        };
        const std::size_t from = i ? 0 : lead, left = lead + count - i;
        if (from == 0 && left >= GROUPED) {
            part(0, GROUPED);  // of known length: without a loop
        } else {
            part(from, (left < GROUPED ? left : GROUPED) - from);
        }
    }
}

template <class T>
void dropped(const Number &number, Threshold t, Run run, Elements rows, const void *x, void *y, double gain) {
    const Keys keys(number.high);
    const auto g = same(static_cast<typename In<T>::Number>(gain));
    Byte kept[GROUPED + WIDE] = {};
    each<T>(run, rows, x, y, [&](Run now, const T *in, T *out) {
        OfRun source(keys, number.high, number.step, now);
        at_once<T>(
            rows.lead, rows.length, in, out,
            [&](std::size_t block) { decide(source, number, t, now, block, kept); },
            [&](std::size_t i, auto v) { return where(kept + i, v * g); });
    });
}

template <class T>
void random_gain(std::size_t count, const void *x, void *y, const float *z, double factor, double plus) {
    using Number = typename In<T>::Number;
    const auto f = same(static_cast<Number>(factor)), p = same(static_cast<Number>(plus));
    strip<T>(count, x, y, [&](std::size_t i, auto in) { return in * (In<T>::noise(z + i) * f + p); });
}

template <class T>
void random_shift(std::size_t count, const void *x, void *y, const float *z, double factor, double plus) {
    using Number = typename In<T>::Number;
    const auto f = same(static_cast<Number>(factor)), p = same(static_cast<Number>(plus));
    strip<T>(count, x, y, [&](std::size_t i, auto in) { return in + (In<T>::noise(z + i) * f + p); });
}

// The same with numbers that are drawn meanwhile.
template <class T, class Apply>
inline void numbered(const Number &number, bool is_normal, Run run, Elements rows, const void *x, void *y, Apply apply) {
    const Keys high(number.high), low(number.low);
    alignas(64) std::uint32_t words[GROUPED + WIDE] = {};
    each<T>(run, rows, x, y, [&](Run now, const T *in, T *out) {
        OfRun first(high, number.high, number.step, now), second(low, number.low, number.step, now);
        at_once<T>(
            rows.lead, rows.length, in, out,
            [&](std::size_t) {
                next_words(first, second, words);
                is_normal ? normal(words, GROUPED) : uniform(words, GROUPED);
            },
            [&](std::size_t i, auto v) {
                return apply(v, In<T>::noise(reinterpret_cast<const float *>(words + i)));
            });
    });
}

template <class T>
void gained(const Number &number, bool is_normal, Run run, Elements rows, const void *x, void *y, double factor,
            double plus) {
    using Number = typename In<T>::Number;
    const auto f = same(static_cast<Number>(factor)), p = same(static_cast<Number>(plus));
    numbered<T>(number, is_normal, run, rows, x, y, [&](auto in, auto z) { return in * (z * f + p); });
}

template <class T>
void shifted(const Number &number, bool is_normal, Run run, Elements rows, const void *x, void *y, double factor,
             double plus) {
    using Number = typename In<T>::Number;
    const auto f = same(static_cast<Number>(factor)), p = same(static_cast<Number>(plus));
    numbered<T>(number, is_normal, run, rows, x, y, [&](auto in, auto z) { return in + (z * f + p); });
}

// Plain loops, which compilers make vectors of.
template <class T>
void select(std::size_t count, const void *from, void *to, const Byte *keep, const Byte *other, std::uint64_t first,
            std::uint64_t second) {
    const T *x = static_cast<const T *>(from);
    T *y = static_cast<T *>(to);
    const T a = static_cast<T>(first), change = static_cast<T>(first ^ second);
    for (std::size_t i = 0; i < count; ++i) {
        const T kept = static_cast<T>(static_cast<signed char>(keep[i]));
        const T changed = other ? static_cast<T>(static_cast<signed char>(other[i])) : T{0};
        const T fill = static_cast<T>(a ^ (changed & change));
        y[i] = static_cast<T>((x[i] & kept) | (fill & static_cast<T>(~kept)));
    }
}

constexpr Kernels KERNELS = {
    NAME,
    keep<OfRun, Run>,
    keep<OfGrid, Grid>,
    keep<OfList, List>,
    words<OfRun, Run>,
    words<OfGrid, Grid>,
    words<OfList, List>,
    pack,
    uniform,
    normal,
    {masked<Half>, masked<Brain>, masked<float>, masked<double>, nullptr, nullptr, nullptr, nullptr},
    {random_gain<Half>, random_gain<Brain>, random_gain<float>, random_gain<double>, nullptr, nullptr, nullptr,
     nullptr},
    {random_shift<Half>, random_shift<Brain>, random_shift<float>, random_shift<double>, nullptr, nullptr, nullptr,
     nullptr},
    {dropped<Half>, dropped<Brain>, dropped<float>, dropped<double>, nullptr, nullptr, nullptr, nullptr},
    {gained<Half>, gained<Brain>, gained<float>, gained<double>, nullptr, nullptr, nullptr, nullptr},
    {shifted<Half>, shifted<Brain>, shifted<float>, shifted<double>, nullptr, nullptr, nullptr, nullptr},
    {select<std::uint16_t>, select<std::uint16_t>, select<std::uint32_t>, select<std::uint64_t>, select<std::uint8_t>,
     select<std::uint16_t>, select<std::uint32_t>, select<std::uint64_t>},
};

}  // namespace

const Kernels *table();
const Kernels *table() { return &KERNELS; }

}  // namespace noisegate::NOISEGATE_LANES
