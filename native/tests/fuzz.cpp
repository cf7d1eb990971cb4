// Random plans, against the reference bit for bit: `fuzz [cases [seed [one]]]`, `one` for one case alone.
// Every buffer is as large as it must be and no larger, for the address sanitizer to see what goes beyond.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <random>
#include <utility>

#include "reference.h"
#include "sets.h"
#include "threads.h"

using namespace noisegate;

namespace {

class Random {
  public:
    explicit Random(std::uint64_t seed) : engine_(seed) {}
    std::uint64_t bits() { return engine_(); }
    std::int64_t below(std::int64_t count) {
        return static_cast<std::int64_t>(engine_() % static_cast<std::uint64_t>(count));
    }
    bool one_in(std::int64_t count) { return below(count) == 0; }
    template <class T> T pick(std::initializer_list<T> of) {
        return of.begin()[below(static_cast<std::int64_t>(of.size()))];
    }

  private:
    std::mt19937_64 engine_;  // its numbers are the same everywhere, those of distributions are not
};

// --- A case ---

struct Case {
    std::vector<Axis> axes;
    std::uint64_t first = 0;
    Rows rows;
    Recipe recipe{Action::masked, Type::single};
    Key key{};
    bool in_place = false, given = false;
    std::int64_t before_x = 0, before_y = 0;  // elements before the lowest one: other alignments
    int loop = 0;
    std::uint64_t contents = 0;  // seed of what is in the buffers
};

// Strides of axes of some extents, none overlapping: in any order, padded, turned round.
std::vector<std::int64_t> apart(Random &random, const std::vector<std::int64_t> &extents) {
    const std::size_t rank = extents.size();
    std::vector<std::size_t> order(rank);
    for (std::size_t i = 0; i < rank; ++i) order[i] = i;
    if (random.one_in(3)) {
        for (std::size_t i = rank; i > 1; --i) {
            std::swap(order[i - 1], order[static_cast<std::size_t>(random.below(static_cast<std::int64_t>(i)))]);
        }
    }
    const bool padded = random.one_in(3), turned = random.one_in(5);
    std::int64_t next = random.one_in(6) ? 1 + random.below(4) : 1;
    std::vector<std::int64_t> strides(rank);
    for (std::size_t i = rank; i-- > 0;) {
        const std::size_t axis = order[i];
        strides[axis] = turned && random.one_in(2) ? -next : next;
        next *= std::max<std::int64_t>(1, extents[axis]);
        if (padded && random.one_in(2)) next += random.below(6);
        // Libraries leave anything there, and it must not matter.
        if (extents[axis] == 1 && random.one_in(3)) strides[axis] = random.below(2000) - 1000;
    }
    return strides;
}

std::vector<std::int64_t> strides_to_read(Random &random, const std::vector<std::int64_t> &extents) {
    std::vector<std::int64_t> strides = apart(random, extents);
    if (random.one_in(6)) {
        for (std::int64_t &stride : strides) stride = random.one_in(2) ? 0 : stride;  // broadcast
    } else if (random.one_in(12)) {
        for (std::int64_t &stride : strides) stride = random.below(15) - 7;  // windows that overlap
    }
    return strides;
}

constexpr std::uint64_t OFFSETS = std::uint64_t{1} << 35;

void place_in_field(Random &random, Case &c) {
    // Steps of axes within a larger global shape, from the innermost one out.
    std::uint64_t offset_step = 1, row_step = 1, last = 0, last_row = 0;
    const bool attention = random.one_in(12), larger = random.one_in(2);
    bool innermost = true;
    for (std::size_t i = c.axes.size(); i-- > 0;) {
        Axis &axis = c.axes[i];
        axis.step = 0;
        if (axis.role == Role::shared) continue;
        const auto extent = static_cast<std::uint64_t>(std::max<std::int64_t>(1, axis.extent));
        std::uint64_t start = larger ? static_cast<std::uint64_t>(random.below(40)) : 0;
        std::uint64_t whole = start + extent + (larger ? static_cast<std::uint64_t>(random.below(40)) : 0);
        if (axis.role == Role::offset) {
            if (attention && innermost && whole < (1 << 17)) whole = 1 << 17;
            innermost = false;
            if (offset_step * whole > OFFSETS) {  // no room for more
                start = 0;
                whole = extent;
            }
            axis.step = static_cast<std::int64_t>(offset_step);
            c.first += start * offset_step;
            last += (extent - 1) * offset_step;
            offset_step *= whole;
        } else {
            axis.step = static_cast<std::int64_t>(row_step);
            last_row += (extent - 1) * row_step;
            row_step *= whole;
        }
    }
    if (random.one_in(12)) {  // offsets that go in no order, or never follow each other
        const std::int64_t times = 1 + random.below(3);
        for (Axis &axis : c.axes) {
            if (axis.role == Role::offset && last < OFFSETS / 8) axis.step *= times;
        }
        if (last < OFFSETS / 8) last *= static_cast<std::uint64_t>(times);
    }
    if (c.first + last >= OFFSETS) c.first = 0;
    if (random.one_in(8)) c.first = OFFSETS - 1 - last;  // up to the very last one
    switch (random.below(4)) {
    case 0: break;
    case 1:
        c.rows.start = random.pick({std::uint64_t{5}, std::uint64_t{0xFFFFFFF0}, random.bits()});
        c.rows.step = random.pick({std::uint64_t{1}, std::uint64_t{12}, std::uint64_t{1} << 32, random.bits()});
        break;
    case 2: c.rows.start = ~std::uint64_t{0} - last_row; break;
    default:
        if (last_row > 300000) break;
        for (std::uint64_t i = 0; i <= last_row; ++i) {
            c.rows.ids.push_back(random.pick({i, random.bits(), ~std::uint64_t{0}, random.bits() >> 32}));
        }
    }
}

double some_number(Random &random) {
    switch (random.below(6)) {
    case 0: return 0.0;
    case 1: return 1.0;
    case 2: return -0.0;
    case 3: return static_cast<double>(random.below(2000) - 1000) / 64.0;
    case 4: return 0x1p31 * static_cast<double>(random.bits() >> 11) * 0x1p-53;
    default: return static_cast<double>(random.bits() >> 11) * 0x1p-53 * (random.one_in(2) ? -3.0 : 3.0);
    }
}

std::uint64_t some_threshold(Random &random, std::uint32_t number, const Case &c) {
    const std::uint64_t any = random.bits() & 0xFFFFFFFF;
    switch (random.below(8)) {
    case 0: return random.pick({std::uint64_t{0}, std::uint64_t{1} << 32, std::uint64_t{1}, std::uint64_t{0xFFFFFFFF}});
    case 1: return any & 0xFFFF0000;
    case 2: return any & 0xFFFF;
    case 3:
    case 4:
    case 5: {  // near a number that is drawn: what plane 1 decides
        std::uint64_t row = 0, offset = 0;
        std::int64_t left = 1 + random.below(200);
        reference::every(c.axes, c.first, c.rows,
                         [&](std::int64_t, std::int64_t, std::int64_t, std::uint64_t r, std::uint64_t o) {
                             if (left-- > 0) row = r, offset = o;
                         });
        const std::uint64_t near = reference::Stream(c.key, number).at(row, offset);
        return random.pick({near, near + 1, near | 0xFFFF, near & 0xFFFF0000});
    }
    default: return any;
    }
}

Case made(std::uint64_t seed, std::int64_t number) {
    Random random(seed * 0x9E3779B97F4A7C15 + static_cast<std::uint64_t>(number));
    Case c;
    const bool large = random.one_in(60);
    std::int64_t budget = large ? 20000 + random.below(200000) : 1 + random.below(random.one_in(8) ? 12000 : 2500);
    const auto rank = static_cast<std::size_t>(random.one_in(40) ? 0 : 1 + random.below(5));
    std::vector<std::int64_t> extents(rank);
    for (std::int64_t &extent : extents) {
        extent = random.one_in(4) ? 1 + random.below(4) : 1 + random.below(70);
        if (random.one_in(12) || (large && random.one_in(3))) extent = budget;
        extent = std::min(extent, budget);
        budget = std::max<std::int64_t>(1, budget / extent);
        if (random.one_in(100)) extent = 0;
    }
    for (std::size_t i = rank; i > 1; --i) {
        std::swap(extents[i - 1], extents[static_cast<std::size_t>(random.below(static_cast<std::int64_t>(i)))]);
    }
    const std::vector<std::int64_t> y = apart(random, extents), x = strides_to_read(random, extents);
    const std::vector<std::int64_t> given = strides_to_read(random, extents);
    for (std::size_t i = 0; i < rank; ++i) {
        const Role role = random.pick({Role::shared, Role::offset, Role::offset, Role::row});
        c.axes.push_back({role, extents[i], x[i], y[i], 0, given[i]});
    }
    place_in_field(random, c);
    c.key = {random.bits(), random.bits(), static_cast<std::uint32_t>(random.bits() >> (random.one_in(2) ? 32 : 60)),
             static_cast<std::uint32_t>(random.bits() >> (random.one_in(2) ? 32 : 50))};

    Recipe &r = c.recipe;
    r.action = static_cast<Action>(random.below(8));
    const bool any_type = r.action == Action::select || r.action == Action::impulse;
    r.type = static_cast<Type>(random.below(any_type ? TYPES : 4));
    r.source = random.one_in(2) ? Source::normal : Source::uniform;
    r.number = random.pick({0u, 0u, 1u, static_cast<std::uint32_t>(random.bits() >> 33)});
    r.second_number = random.pick({1u, r.number + 1});
    r.threshold = some_threshold(random, r.number, c);
    r.second_threshold = some_threshold(random, r.second_number, c);
    r.affine.gain = some_number(random);
    r.affine.adds = random.one_in(2);
    if (r.affine.adds) r.affine.shift = some_number(random);
    r.affine.fill = some_number(random);
    r.affine.fills = r.affine.fill != 0.0;
    if (!r.affine.fills) r.affine.fill = 0.0;
    r.factor = some_number(random);
    r.plus = random.pick({-0.0, 1.0, some_number(random)});
    const std::uint64_t ones = ~std::uint64_t{0} >> (64 - 8 * size_of(r.type));
    r.fill = random.pick({std::uint64_t{0}, random.bits()}) & ones;
    r.other = random.bits() & ones;

    c.given = random.one_in(6) && (r.action < Action::impulse || r.action == Action::mask);
    if (reference::reads(r.action) && random.one_in(4)) {
        c.in_place = true;
        for (Axis &axis : c.axes) axis.x = axis.y;
    }
    c.before_x = random.one_in(2) ? random.below(16) : 0;
    c.before_y = c.in_place ? c.before_x : random.one_in(2) ? random.below(16) : 0;
    c.loop = static_cast<int>(random.below(3));
    c.contents = random.bits();
    return c;
}

// --- Memory ---

// An array on the heap, which ends where its last element does.
struct Array {
    std::size_t elements = 0, size;
    std::int64_t origin = 0;  // of the element of index 0 …
    std::unique_ptr<unsigned char[]> bytes;

    Array(const Case &c, std::int64_t Axis::*stride, std::size_t size_of_one, std::int64_t before, bool of_noise)
        : size(size_of_one) {
        std::int64_t low = 0, high = 0, count = 1;
        for (const Axis &axis : c.axes) {
            count *= axis.extent;
            if (of_noise && axis.role == Role::shared) continue;
            const std::int64_t reach = (axis.extent - 1) * axis.*stride;
            (reach < 0 ? low : high) += reach;
        }
        if (count > 0) {
            elements = static_cast<std::size_t>(before + high - low + 1);
            origin = before - low;
        }
        bytes.reset(new unsigned char[elements * size]);
    }
    Array(const Array &other) : elements(other.elements), size(other.size), origin(other.origin) {
        bytes.reset(new unsigned char[elements * size]);
        if (elements) std::memcpy(bytes.get(), other.bytes.get(), elements * size);
    }
    unsigned char *start() { return bytes.get() + origin * static_cast<std::int64_t>(size); }
};

void fill(Random &random, Array &array, Type type) {
    const bool wild = random.one_in(3), special = random.one_in(4);
    for (std::size_t i = 0; i < array.elements; ++i) {
        std::uint64_t bits = random.bits();
        if (reference::is_number(type) && !wild) {
            const double small = static_cast<double>(static_cast<std::int64_t>(bits) >> 40) * 0x1p-20;
            bits = reference::stored(type == Type::double_ ? small : static_cast<double>(static_cast<float>(small)), type);
        }
        if (reference::is_number(type) && special && random.one_in(3)) {
            const float greatest = std::numeric_limits<float>::max();
            const double all[] = {0.0, -0.0, HUGE_VAL, -HUGE_VAL, std::nan(""), 65504.0, -65520.0, 0x1p-24, 0x1p-25,
                                  0x1.8p-24, 0x1p-14, 0x1p-126, -0x1p-149, 0x1p-133, static_cast<double>(greatest),
                                  1.0, 0x1p-1074};
            double one = all[random.below(static_cast<std::int64_t>(std::size(all)))];
            if (type != Type::double_) one = static_cast<double>(static_cast<float>(one));
            bits = reference::stored(one, type);
        }
        reference::store(array.bytes.get() + i * array.size, bits, array.size);
    }
}

// --- Loops over threads ---

void whole(std::int64_t count, std::int64_t, Body body, void *context) { body(0, count, context); }

// Parts in the wrong order, each as small as can be, or smaller.
void backwards(std::int64_t count, std::int64_t grain, Body body, void *context) {
    const std::int64_t part = std::max<std::int64_t>(1, grain / 3);
    for (std::int64_t end = count; end > 0; end -= part) body(std::max<std::int64_t>(0, end - part), end, context);
}

void by_threads(std::int64_t count, std::int64_t grain, Body body, void *context) {
    pool_for(3, count, grain, body, context);
}

// --- The check ---

struct Difference {
    const char *set = nullptr;
    const char *what = "";
    std::size_t place = 0;
    std::uint64_t wanted = 0, got = 0;
};

Difference check(const Case &c) {
    Random random(c.contents);
    const std::size_t size = reference::size_of_result(c.recipe);
    Array y(c, &Axis::y, size, c.before_y, false);
    Array x(c, &Axis::x, size_of(c.recipe.type), c.before_x, false);
    Array given(c, &Axis::given, 1, 0, true);
    fill(random, y, c.in_place ? c.recipe.type : Type::bits64);
    fill(random, x, c.recipe.type);
    for (std::size_t i = 0; i < given.elements; ++i) given.bytes[i] = static_cast<unsigned char>(random.one_in(2));
    const Byte *const mask = c.given ? given.start() : nullptr;
    const bool reads = reference::reads(c.recipe.action);

    Array wanted(y);
    std::vector<bool> written(y.elements);
    const Array before(y);
    Array source(c.in_place ? y : x);
    reference::run(c.axes, c.first, c.rows, c.recipe, c.key, source.start(), wanted.start(), mask);
    reference::every(c.axes, c.first, c.rows,
                     [&](std::int64_t, std::int64_t at, std::int64_t, std::uint64_t, std::uint64_t) {
                         written[static_cast<std::size_t>(wanted.origin + at)] = true;
                     });

    const Type type = reference::type_of_result(c.recipe);
    const ParallelFor loops[] = {whole, backwards, by_threads};
    for (const Kernels *const kernels : instruction_sets()) {
        Array got(before);
        const Plan plan(c.axes, c.first, c.rows);
        const void *from = c.in_place ? got.start() : x.start();
        plan.run(c.recipe, c.key, reads ? from : nullptr, got.start(), mask, *kernels, loops[c.loop]);
        for (std::size_t i = 0; i < got.elements; ++i) {
            const std::uint64_t a = reference::load(wanted.bytes.get() + i * size, size);
            const std::uint64_t b = reference::load(got.bytes.get() + i * size, size);
            if (a == b) continue;
            if (written[i] && reference::is_nan(a, type) && reference::is_nan(b, type)) continue;
            return {kernels->name, written[i] ? "differs" : "is written, between elements", i, a, b};
        }
    }
    return {};
}

// Several steps at once, against one step at a time: parts that lie side by side, or read the same input.
bool check_steps(const Case &c) {
    Random random(c.contents);
    const bool reads = reference::reads(c.recipe.action), shared = !c.in_place && random.one_in(4);
    const auto count = static_cast<std::size_t>(1 + random.below(4));
    Array y(c, &Axis::y, reference::size_of_result(c.recipe), c.before_y, false);
    Array x(c, &Axis::x, size_of(c.recipe.type), c.before_x, false);
    fill(random, y, c.in_place ? c.recipe.type : Type::bits64);
    fill(random, x, c.recipe.type);
    const std::size_t of_x = x.elements * x.size, of_y = y.elements * y.size;
    std::unique_ptr<unsigned char[]> all_x(new unsigned char[count * of_x]), all_y(new unsigned char[count * of_y]);
    std::vector<std::uint32_t> steps(count);
    for (std::size_t i = 0; i < count; ++i) {
        steps[i] = static_cast<std::uint32_t>(random.bits() >> (random.one_in(2) ? 32 : 60));
        std::copy_n(x.bytes.get(), of_x, all_x.get() + i * of_x);
        std::copy_n(y.bytes.get(), of_y, all_y.get() + i * of_y);
    }
    const std::int64_t lead_x = x.origin * static_cast<std::int64_t>(x.size), lead_y = y.origin * static_cast<std::int64_t>(y.size);
    const auto next_y = static_cast<std::int64_t>(of_y);
    const std::int64_t next_x = c.in_place ? next_y : shared ? 0 : static_cast<std::int64_t>(of_x);
    const ParallelFor loops[] = {whole, backwards, by_threads};
    const Plan plan(c.axes, c.first, c.rows);
    for (const Kernels *const kernels : instruction_sets()) {
        std::unique_ptr<unsigned char[]> got(new unsigned char[count * of_y]), wanted(new unsigned char[count * of_y]);
        for (auto *const result : {&got, &wanted}) std::copy_n(all_y.get(), count * of_y, result->get());
        const auto source = [&](unsigned char *result) -> const unsigned char * {
            return !reads ? nullptr : c.in_place ? result + lead_y : all_x.get() + lead_x;
        };
        const Parts parts{steps.data(), static_cast<std::int64_t>(count), reads ? next_x : 0, next_y};
        plan.run_steps(c.recipe, c.key, parts, source(got.get()), got.get() + lead_y, nullptr, *kernels, loops[c.loop]);
        for (std::size_t i = 0; i < count; ++i) {
            const auto part = static_cast<std::int64_t>(i);
            const Key key{c.key.seed, c.key.hash, c.key.call, steps[i]};
            const unsigned char *const from = source(wanted.get());
            plan.run(c.recipe, key, from ? from + part * next_x : from, wanted.get() + lead_y + part * next_y, nullptr, *kernels, whole);
        }
        if (std::memcmp(got.get(), wanted.get(), count * of_y) != 0) return false;
    }
    return true;
}

// Make a case that fails smaller, for as long as it fails.
Case smallest(Case c) {
    for (bool smaller = true; smaller;) {
        smaller = false;
        for (std::size_t i = 0; i < c.axes.size(); ++i) {
            for (const std::int64_t extent : {std::int64_t{1}, c.axes[i].extent / 2, c.axes[i].extent - 1}) {
                if (extent < 1 || extent >= c.axes[i].extent) continue;
                Case tried = c;
                tried.axes[i].extent = extent;
                if (!check(tried).set) continue;
                c = tried;
                smaller = true;
                break;
            }
        }
        for (std::size_t i = 0; i < c.axes.size(); ++i) {
            if (c.axes[i].extent != 1) continue;
            Case tried = c;
            tried.axes.erase(tried.axes.begin() + static_cast<std::ptrdiff_t>(i));
            if (!check(tried).set) continue;
            c = tried;
            smaller = true;
            break;
        }
    }
    return c;
}

void tell(const Case &c, const Difference &d) {
    using U = unsigned long long;
    using I = long long;
    std::printf("  %s: place %zu of y %s: wanted %llx, got %llx\n", d.set, d.place, d.what, static_cast<U>(d.wanted),
                static_cast<U>(d.got));
    const char *const roles[] = {"shared", "offset", "row"};
    for (const Axis &axis : c.axes) {
        std::printf("  axis: %s extent %lld x %lld y %lld step %lld given %lld\n", roles[static_cast<int>(axis.role)],
                    static_cast<I>(axis.extent), static_cast<I>(axis.x), static_cast<I>(axis.y),
                    static_cast<I>(axis.step), static_cast<I>(axis.given));
    }
    const Recipe &r = c.recipe;
    std::printf("  first %llu, rows from %llu by %llu, %zu ids\n", static_cast<U>(c.first), static_cast<U>(c.rows.start),
                static_cast<U>(c.rows.step), c.rows.ids.size());
    std::printf("  action %d type %d source %d number %u, %u threshold %llx, %llx\n", static_cast<int>(r.action),
                static_cast<int>(r.type), static_cast<int>(r.source), r.number, r.second_number,
                static_cast<U>(r.threshold), static_cast<U>(r.second_threshold));
    std::printf("  gain %a shift %a (%d) fill %a (%d) factor %a plus %a fill %llx other %llx\n", r.affine.gain,
                r.affine.shift, r.affine.adds, r.affine.fill, r.affine.fills, r.factor, r.plus, static_cast<U>(r.fill),
                static_cast<U>(r.other));
    std::printf("  seed %llx hash %llx call %u step %u; in place %d, given %d, loop %d\n", static_cast<U>(c.key.seed),
                static_cast<U>(c.key.hash), c.key.call, c.key.step, c.in_place, c.given, c.loop);
}

// --- Functions beside plans ---

// Kernels that draw, called as plan.h says they may be.
const char *check_kernels(Random &random) {
    const Number number{{static_cast<std::uint32_t>(random.bits()), static_cast<std::uint32_t>(random.bits())},
                        {static_cast<std::uint32_t>(random.bits()), static_cast<std::uint32_t>(random.bits())},
                        static_cast<std::uint32_t>(random.bits())};
    const auto count = static_cast<std::size_t>(1 + random.below(random.one_in(5) ? 512 : 40));
    const std::size_t padded = (count + GROUP - 1) / GROUP * GROUP;
    std::unique_ptr<std::uint32_t[]> block(new std::uint32_t[padded]()), low(new std::uint32_t[padded]()),
        high(new std::uint32_t[padded]());
    const auto some = [&] { return static_cast<std::uint32_t>(random.bits() >> (random.one_in(2) ? 32 : 60)); };
    const Run run{random.one_in(4) ? 0xFFFFFFFF - static_cast<std::uint32_t>(random.below(600)) : some(), some(), some()};
    for (std::size_t i = 0; i < count; ++i) block[i] = some(), low[i] = some(), high[i] = some();
    const auto word = [&](Run at, std::size_t i) {
        const std::uint64_t row = std::uint64_t{at.high} << 32 | at.low, offset = std::uint64_t{at.block} * 8 + i;
        const reference::PlaneKey first{number.high[0], number.high[1]}, second{number.low[0], number.low[1]};
        return reference::lane(first, row, offset, number.step) << 16 | reference::lane(second, row, offset, number.step);
    };
    std::vector<std::uint32_t> of_run(8 * count), of_list(8 * count);
    for (std::size_t i = 0; i < 8 * count; ++i) {
        const std::size_t at = i / 8;
        of_run[i] = word({run.block + static_cast<std::uint32_t>(at), run.low, run.high}, i % 8);
        of_list[i] = word({block[at], low[at], high[at]}, i % 8);
    }
    const std::uint32_t near = random.pick({of_run[0], of_list[0], static_cast<std::uint32_t>(random.bits())});
    const Threshold t{near >> 16, random.pick({0u, 1u, near & 0xFFFF, (near + 1) & 0xFFFF, 0xFFFFu})};
    const std::uint32_t threshold = t.top << 16 | t.bottom;
    const List list{block.get(), low.get(), high.get()};
    for (const Kernels *const kernels : instruction_sets()) {
        std::unique_ptr<std::uint32_t[]> words(new std::uint32_t[8 * count + SLACK]);
        std::unique_ptr<Byte[]> keep(new Byte[8 * count + SLACK]);
        for (const bool listed : {false, true}) {
            const std::vector<std::uint32_t> &wanted = listed ? of_list : of_run;
            if (listed) {
                kernels->words_list(number, list, count, words.get());
                kernels->keep_list(number, t, list, count, keep.get());
            } else {
                kernels->words_run(number, run, count, words.get());
                kernels->keep_run(number, t, run, count, keep.get());
            }
            for (std::size_t i = 0; i < 8 * count; ++i) {
                if (words[i] != wanted[i]) return listed ? "words_list" : "words_run";
                if (keep[i] != (wanted[i] >= threshold ? 0xFF : 0)) return listed ? "keep_list" : "keep_run";
            }
        }
        const auto some_of = static_cast<std::size_t>(random.below(static_cast<std::int64_t>(8 * count)));
        std::unique_ptr<std::uint32_t[]> again(new std::uint32_t[some_of + SLACK]());
        for (const bool normal : {false, true}) {
            std::copy(of_list.begin(), of_list.begin() + static_cast<std::ptrdiff_t>(some_of), again.get());
            (normal ? kernels->normal : kernels->uniform)(again.get(), some_of);
            for (std::size_t i = 0; i < some_of; ++i) {
                const float wanted = normal ? reference::normal(of_list[i]) : reference::uniform(of_list[i]);
                if (again[i] != reference::bits_of_float(wanted)) return normal ? "normal" : "uniform";
            }
        }
    }
    return nullptr;
}

// Every number of 16 bits, as it is and times a third.
const char *check_halves() {
    std::vector<std::uint16_t> x(1 << 16), y(1 << 16);
    const std::vector<Byte> keep((1 << 16) + SLACK, 0xFF);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<std::uint16_t>(i);
    for (const Kernels *const kernels : instruction_sets()) {
        for (const Type type : {Type::half, Type::brain}) {
            for (const double gain : {1.0, 1.0 / 3.0, 0x1.002p-9, 0x1.002p+0, 0x1p-8, 777.0}) {
                const Affine affine{gain, 0.0, 0.0, false, false};
                Recipe recipe{Action::masked, type};
                recipe.affine = affine;
                kernels->masked[static_cast<std::size_t>(type)](x.size(), x.data(), y.data(), keep.data(), affine);
                for (std::size_t i = 0; i < x.size(); ++i) {
                    const std::uint64_t wanted = reference::element(recipe, 0, 0, nullptr, x[i]);
                    const bool both = reference::is_nan(wanted, type) && reference::is_nan(y[i], type);
                    if (wanted != y[i] && !both) {
                        std::printf("  %s: %zx times %a: wanted %llx, got %x\n", kernels->name, i, gain,
                                    static_cast<unsigned long long>(wanted), y[i]);
                        return type == Type::half ? "half" : "brain";
                    }
                }
            }
        }
    }
    return nullptr;
}

bool spread_is_right(Random &random) {
    const std::int64_t outer = random.below(4), inner = random.below(9), block = 1 + random.below(7);
    const std::int64_t left = random.below(20), extent = left + block - 1;
    const auto in_size = static_cast<std::size_t>(outer * extent * inner), out_size = static_cast<std::size_t>(outer * left * inner);
    std::unique_ptr<Byte[]> in(new Byte[in_size]), out(new Byte[out_size]);
    for (std::size_t i = 0; i < in_size; ++i) in[i] = static_cast<Byte>(!random.one_in(4));
    spread(in.get(), out.get(), outer, extent, inner, block);
    for (std::int64_t o = 0; o < outer; ++o) {
        for (std::int64_t i = 0; i < left; ++i) {
            for (std::int64_t k = 0; k < inner; ++k) {
                bool all = true;
                for (std::int64_t b = 0; b < block; ++b) all = all && in[static_cast<std::size_t>((o * extent + i + b) * inner + k)];
                if (out[static_cast<std::size_t>((o * left + i) * inner + k)] != static_cast<Byte>(all)) return false;
            }
        }
    }
    return true;
}

}  // namespace

int main(int count, char **arguments) {
    const long long cases = count > 1 ? std::atoll(arguments[1]) : 3000;
    const std::uint64_t seed = count > 2 ? std::strtoull(arguments[2], nullptr, 10) : 1;
    const long long one = count > 3 ? std::atoll(arguments[3]) : -1;
    std::printf("instruction sets:");
    for (const Kernels *const kernels : instruction_sets()) std::printf(" %s", kernels->name);
    std::printf("\n");
    long long passed = 0, failed = 0;
    const auto note = [&](bool good) { ++(good ? passed : failed); };
    if (one < 0) {
        const char *const halves = check_halves();
        if (halves) std::printf("numbers of 16 bits: %s\n", halves);
        note(!halves);
    }
    for (long long i = one < 0 ? 0 : one; i < (one < 0 ? cases : one + 1) && failed < 5; ++i) {
        const Case c = made(seed, i);
        const Difference d = check(c);
        note(!d.set);
        if (d.set) {
            std::printf("case %lld of seed %llu:\n", i, static_cast<unsigned long long>(seed));
            tell(c, d);
            const Case small = smallest(c);
            std::printf("made smaller:\n");
            tell(small, check(small));
        }
        if (i % 4 == 0) {
            const bool together = check_steps(c);
            if (!together) std::printf("several steps, at case %lld of seed %llu\n", i, static_cast<unsigned long long>(seed));
            note(together);
        }
        if (i % 8 == 0) {
            Random random(seed + static_cast<std::uint64_t>(i));
            const char *const wrong = check_kernels(random);
            if (wrong) std::printf("kernel %s, at case %lld of seed %llu\n", wrong, i, static_cast<unsigned long long>(seed));
            note(!wrong);
            const bool spreads = spread_is_right(random);
            if (!spreads) std::printf("spread, at case %lld of seed %llu\n", i, static_cast<unsigned long long>(seed));
            note(spreads);
        }
    }
    std::printf("%lld passed, %lld failed\n", passed, failed);
    return failed || !passed;
}
