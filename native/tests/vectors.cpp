// The vectors of spec/vectors, on every instruction set that this processor has, bit for bit: `vectors [folder]`.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>

#include "blake2b.h"
#include "exact.h"
#include "reference.h"
#include "sets.h"

using namespace noisegate;

namespace {

std::string folder = "spec/vectors";
long long passed = 0, failed = 0;

using Line = std::vector<std::string>;  // its columns

std::vector<std::string> parts(const std::string &text, const std::string &between) {
    std::vector<std::string> result;
    for (std::size_t from = 0; from < text.size();) {
        const std::size_t to = std::min(text.find(between, from), text.size());
        if (to > from) result.push_back(text.substr(from, to - from));
        from = to + between.size();
    }
    return result;
}

std::vector<Line> lines_of(const std::string &name, const char *between = " | ") {
    std::ifstream file(folder + "/" + name);
    if (!file) throw std::runtime_error("cannot be read");
    std::vector<Line> result;
    for (std::string line; std::getline(file, line);) {
        if (!line.empty() && line.back() == '\r') line.pop_back();
        if (!line.empty() && line[0] != '#') result.push_back(parts(line, between));
    }
    return result;
}

const std::string &column(const Line &line, std::size_t index) {
    if (index >= line.size()) throw std::runtime_error("a column is missing: " + (line.empty() ? "" : line[0]));
    return line[index];
}

std::uint64_t whole(const std::string &text, int base = 10) {
    std::size_t used = 0;
    const unsigned long long value = std::stoull(text, &used, base);
    if (used != text.size()) throw std::runtime_error("no whole number: " + text);
    return value;
}
std::uint32_t hexadecimal(const std::string &text) { return static_cast<std::uint32_t>(whole(text, 16)); }

double real(const std::string &text) {
    char *end = nullptr;
    const double value = std::strtod(text.c_str(), &end);
    if (end == text.c_str() || *end) throw std::runtime_error("no number: " + text);
    return value;
}

// What stands under a name in JSON as Python writes it, whose values are numbers, words, or lists of numbers.
std::string field(const std::string &json, const std::string &name, const std::string &otherwise) {
    const std::string key = "\"" + name + "\": ";
    std::size_t from = json.find(key);
    if (from == std::string::npos) return otherwise;
    from += key.size();
    const bool list = json[from] == '[';
    const std::size_t to = json.find_first_of(list ? "]" : ",}", from);
    if (to == std::string::npos) throw std::runtime_error("no JSON: " + json);
    return json.substr(from, to + (list ? 1 : 0) - from);
}

std::vector<std::uint64_t> list(const std::string &json) {
    if (json.empty() || json.front() != '[') throw std::runtime_error("no list: " + json);
    std::vector<std::uint64_t> result;
    for (const std::string &item : parts(json.substr(1, json.size() - 2), ", ")) result.push_back(whole(item));
    return result;
}

// A text in JSON, as UTF-8.
std::string text_of(const std::string &json) {
    std::string result;
    for (std::size_t i = 1; i + 1 < json.size(); ++i) {
        if (json[i] != '\\') {
            result += json[i];
        } else if (json[i + 1] == 'u') {
            const std::uint64_t code = whole(json.substr(i + 2, 4), 16);
            if (code < 0x80 || code > 0x7FF) throw std::runtime_error("write more of this: " + json);
            result += static_cast<char>(0xC0 | code >> 6);
            result += static_cast<char>(0x80 | (code & 0x3F));
            i += 5;
        } else {
            result += json[++i];
        }
    }
    return result;
}

std::uint64_t hash_of(const std::string &site, std::uint64_t slot, const std::string &kind) {
    return blake2b_8(site + "#" + std::to_string(slot) + ":" + kind);
}

// --- Counting ---

struct Count {
    const std::string &file;
    const Kernels &kernels;
    long long good = 0, bad = 0;

    // One vector, and what to say where it fails.
    template <class T> void check(const std::vector<T> &wanted, const std::vector<T> &got, const Line &line) {
        if (wanted == got) {
            ++good;
            return;
        }
        if (bad++) return;  // the first difference tells enough
        std::size_t i = 0;
        while (i < wanted.size() && i < got.size() && wanted[i] == got[i]) ++i;
        std::printf("FAILED %s, %s: of %zu and %zu values number %zu: ", file.c_str(), kernels.name, wanted.size(),
                    got.size(), i);
        if (i < wanted.size() && i < got.size()) {
            std::printf("wanted %llx, got %llx", static_cast<unsigned long long>(wanted[i]),
                        static_cast<unsigned long long>(got[i]));
        }
        std::printf("\n ");
        for (const std::string &one : line) std::printf(" | %.150s", one.c_str());
        std::printf("\n");
    }
};

// Check every vector of a file on every instruction set.
template <class F> void check_file(const std::string &name, F function) {
    for (const Kernels *const kernels : instruction_sets()) {
        Count count{name, *kernels};
        try {
            function(count);
            if (count.good + count.bad == 0) throw std::runtime_error("holds no vector");
        } catch (const std::exception &error) {
            std::printf("FAILED %s, %s: %s\n", name.c_str(), kernels->name, error.what());
            ++count.bad;
        }
        std::printf("%-16s %-9s %4lld of %lld\n", name.c_str(), kernels->name, count.good, count.good + count.bad);
        passed += count.good;
        failed += count.bad;
    }
}

template <class F> void check_lines(const std::string &name, F function) {
    check_file(name, [&](Count &count) {
        for (const Line &line : lines_of(name)) function(count, line);
    });
}

// --- Plans ---

void loop(std::int64_t count, std::int64_t, Body body, void *context) { body(0, count, context); }

// Run a plan over arrays in C order; y is of elements of the result, and x, where it is read, of the recipe's type.
template <class T>
std::vector<T> made(const Kernels &kernels, std::vector<Axis> axes, std::uint64_t first, Rows rows, const Recipe &recipe,
                    const Key &key, const std::vector<unsigned char> &x = {}, const Byte *given = nullptr) {
    std::int64_t size = 1;
    for (std::size_t i = axes.size(); i-- > 0;) {
        axes[i].x = axes[i].y = size;
        size *= axes[i].extent;
    }
    const Plan plan(std::move(axes), first, std::move(rows));
    std::vector<T> y(static_cast<std::size_t>(size));
    plan.run(recipe, key, x.data(), y.data(), given, kernels, loop);
    return y;
}

Axis along(std::size_t extent) { return {Role::offset, static_cast<std::int64_t>(extent), 0, 0, 1, 1}; }

Recipe drawn(Action action, std::uint32_t number = 0) {
    Recipe recipe{action, Type::single};
    recipe.number = number;
    return recipe;
}

// A strip of ones under a threshold, times a scale: what is kept has its bits, what is removed is +0.
template <class T>
void check_scale(Count &count, const Line &line, Type type, std::uint64_t threshold, std::uint64_t bits) {
    constexpr std::size_t SIZE = 64;
    const Key key{13, hash_of("hid1:out", 0, "Dropout"), 0, 0};
    const reference::Stream stream(key, 0);
    Recipe recipe{Action::masked, type};
    recipe.threshold = threshold;
    recipe.affine.gain = reference::value_of(bits, type);
    std::vector<unsigned char> ones(SIZE * sizeof(T));
    std::vector<T> wanted(SIZE);
    for (std::size_t i = 0; i < SIZE; ++i) {
        reference::store(ones.data() + i * sizeof(T), reference::stored(1.0, type), sizeof(T));
        wanted[i] = stream.at(0, i) >= threshold ? static_cast<T>(bits) : T{0};
    }
    count.check(wanted, made<T>(count.kernels, {along(SIZE)}, 0, {}, recipe, key, ones), line);
}

// Of a file of scales: columns from `index` on are a threshold and the bits of two scales.
void check_scales(Count &count, const Line &line, std::size_t index, std::uint64_t threshold, int places) {
    count.check<std::uint64_t>({whole(column(line, index), 16)}, {threshold}, line);
    const std::uint64_t one[2] = {reference::stored(1.0, Type::single), reference::stored(1.0, Type::double_)};
    std::uint64_t bits[2];
    for (std::size_t i = 0; i < 2; ++i) {
        const std::string &text = column(line, index + 1 + i);
        bits[i] = text == "none" ? one[i] : whole(text, 16);
        if (text == "none") continue;
        const double scale = exact::survivor_scale(threshold, places, i ? 53 : 24);
        count.check<std::uint64_t>({bits[i]}, {reference::stored(scale, i ? Type::double_ : Type::single)}, line);
    }
    check_scale<std::uint32_t>(count, line, Type::single, threshold, bits[0]);
    check_scale<std::uint64_t>(count, line, Type::double_, threshold, bits[1]);
}

// --- Kinds ---

constexpr std::uint64_t ALL = std::uint64_t{1} << 32;

Type type_named(const std::string &name) {
    const char *const names[] = {"float16", "bfloat16", "float32", "float64"};
    for (std::size_t i = 0; i < 4; ++i) {
        if (name == names[i]) return static_cast<Type>(i);
    }
    throw std::runtime_error("no such type here: " + name);
}

int digits_of_computation(Type type) { return type == Type::double_ ? 53 : 24; }

std::uint64_t threshold_of(double p) { return static_cast<std::uint64_t>(std::nearbyint(p * 0x1p32)); }

Recipe recipe_of(const std::string &config, Type type) {
    const std::string kind = field(config, "kind", "");
    const auto number = [&](const char *name) { return real(field(config, name, "none")); };
    Recipe recipe{Action::masked, type};
    if (kind == "\"GaussianNoise\"" || kind == "\"UniformNoise\"") {
        recipe.action = Action::shift;
        recipe.source = kind == "\"UniformNoise\"" ? Source::uniform : Source::normal;
        recipe.factor = number(recipe.source == Source::normal ? "sigma" : "width");
        return recipe;
    }
    const double p = number("p");
    if (kind == "\"GaussianDropout\"") {
        recipe.action = Action::gain;
        recipe.source = Source::normal;
        recipe.factor = std::sqrt(p / (1 - p));
        recipe.plus = 1.0;
        return recipe;
    }
    recipe.threshold = threshold_of(p);
    const bool some = recipe.threshold > 0 && recipe.threshold < ALL;
    if (kind == "\"Dropout\"") {
        if (some && field(config, "rescale", "") == "true") {
            recipe.affine.gain = exact::survivor_scale(recipe.threshold, 1, digits_of_computation(type));
        }
    } else if (kind == "\"AlphaDropout\"") {
        constexpr double FLOOR = -1.7580993408473766;
        const double kept = static_cast<double>(ALL - recipe.threshold) / 0x1p32;
        const double square = FLOOR * FLOOR, spread = 1 + (1 - kept) * square;
        const double gain = some ? 1 / std::sqrt(kept * spread) : 1.0;
        const double fill = FLOOR * std::sqrt(kept / spread);
        recipe.affine = {gain, -FLOOR * (1 - kept) * gain, fill, true, fill != 0};
        if (!recipe.affine.fills) recipe.affine.fill = 0.0;
    } else if (kind == "\"DropKey\"") {
        recipe.affine.fill = -std::numeric_limits<double>::infinity();
        recipe.affine.fills = true;
    } else if (kind == "\"ImpulseNoise\"") {
        recipe.action = Action::impulse;
        recipe.second_number = 1;
        recipe.second_threshold = ALL / 2;
        recipe.fill = noisegate::bits_of(number("low"), type);
        recipe.other = noisegate::bits_of(number("high"), type);
    } else {
        throw std::runtime_error("no such kind here: " + kind);
    }
    return recipe;
}

// A case of kinds.txt or blocks.txt.
struct Array {
    std::vector<std::int64_t> shape;
    std::int64_t sample = -1;  // an axis, or none
    std::vector<std::uint64_t> shared;
    Rows rows;

    Array(const std::string &config, const std::string &arguments) {
        for (const std::uint64_t extent : list(field(arguments, "shape", ""))) {
            shape.push_back(static_cast<std::int64_t>(extent));
        }
        shared = list(field(config, "shared_axes", "[]"));
        const std::string axis = field(arguments, "sample_axis", "");
        if (axis != "null") sample = static_cast<std::int64_t>(whole(axis));
        if (sample >= 0 && !is_shared(sample)) rows.ids = list(field(arguments, "rows", "[]"));
    }
    bool is_shared(std::int64_t axis) const {
        return std::find(shared.begin(), shared.end(), static_cast<std::uint64_t>(axis)) != shared.end();
    }
    // Axes of an array of this or a larger shape; `given` of a mask of its noise in C order.
    std::vector<Axis> axes(const std::vector<std::int64_t> &extents, bool of_noise) const {
        std::vector<Axis> result(extents.size());
        std::int64_t step = 1, given = 1;
        for (std::size_t i = extents.size(); i-- > 0;) {
            const auto axis = static_cast<std::int64_t>(i);
            result[i] = {Role::shared, of_noise && is_shared(axis) ? 1 : extents[i], 0, 0, 0, 0};
            if (is_shared(axis)) continue;
            result[i].role = axis == sample ? Role::row : Role::offset;
            result[i].step = axis == sample ? 1 : step;
            result[i].given = given;
            given *= extents[i];
            if (axis != sample) step *= extents[i];
        }
        return result;
    }
    // (i + 1) / 8 of every place i in C order.
    std::vector<unsigned char> input(Type type) const {
        std::size_t count = 1;
        for (const std::int64_t extent : shape) count *= static_cast<std::size_t>(extent);
        std::vector<unsigned char> x(count * size_of(type));
        for (std::size_t i = 0; i < count; ++i) {
            const std::uint64_t bits = reference::stored(static_cast<double>(i + 1) / 8, type);
            reference::store(x.data() + i * size_of(type), bits, size_of(type));
        }
        return x;
    }
};

std::vector<std::uint64_t> values_of(const Line &line, Type type) {
    std::vector<std::uint64_t> result;
    if (line.size() < 4) return result;  // an array of nothing
    for (const std::string &text : parts(line[3], " ")) {
        result.push_back(reference::stored(real(text), type));
        if (reference::value_of(result.back(), type) != real(text)) throw std::runtime_error("not of its type: " + text);
    }
    return result;
}

// What a plan makes of the case's input, as bits.
std::vector<std::uint64_t> bits_made(const Kernels &kernels, const Array &array, const Recipe &recipe, const Key &key,
                                     const Byte *given = nullptr) {
    const auto run = [&](auto zero) {
        const auto y = made<decltype(zero)>(kernels, array.axes(array.shape, false), 0, array.rows, recipe, key,
                                            array.input(recipe.type), given);
        return std::vector<std::uint64_t>(y.begin(), y.end());
    };
    switch (size_of(recipe.type)) {
    case 2: return run(std::uint16_t{});
    case 4: return run(std::uint32_t{});
    default: return run(std::uint64_t{});
    }
}

Key key_of_cases(const std::string &kind) { return {13, hash_of("hid1:out", 0, kind), 2, 7}; }

// DropBlock: seeds on a larger grid, spread along every spatial axis.
std::vector<std::uint64_t> blocks_made(const Kernels &kernels, const std::string &config, const Array &array, Type type) {
    std::vector<std::uint64_t> spatial;
    for (std::size_t i = 2; i < array.shape.size(); ++i) spatial.push_back(i);
    const std::string axes = field(config, "axes", ""), block = field(config, "block_size", "");
    if (!axes.empty()) spatial = list(axes);
    std::vector<std::int64_t> extents = array.shape;
    std::vector<std::int64_t> sizes;
    int places = 1;
    for (std::size_t i = 0; i < spatial.size(); ++i) {
        sizes.push_back(static_cast<std::int64_t>(block[0] == '[' ? list(block)[i] : whole(block)));
        extents[spatial[i]] += sizes[i] - 1;
        places *= static_cast<int>(sizes[i]);
    }
    const Key key = key_of_cases("DropBlock");
    Recipe recipe{Action::mask, type};
    recipe.threshold = exact::block_threshold(real(field(config, "p", "none")), places);
    std::vector<Axis> grid = array.axes(extents, true);
    std::vector<Byte> keep = made<Byte>(kernels, grid, 0, array.rows, recipe, key);
    for (std::size_t i = 0; i < spatial.size(); ++i) {
        std::int64_t outer = 1, inner = 1;
        for (std::size_t j = 0; j < grid.size(); ++j) (j < spatial[i] ? outer : inner) *= grid[j].extent;
        Axis &axis = grid[spatial[i]];
        inner /= axis.extent;
        std::vector<Byte> spread_out(static_cast<std::size_t>(outer * inner * array.shape[spatial[i]]));
        spread(keep.data(), spread_out.data(), outer, axis.extent, inner, sizes[i]);
        axis.extent = array.shape[spatial[i]];
        keep = spread_out;
    }
    recipe.action = Action::masked;
    if (field(config, "normalize", "") != "\"sample\"") {
        if (recipe.threshold > 0 && recipe.threshold < ALL) {
            recipe.affine.gain = exact::survivor_scale(recipe.threshold, places, digits_of_computation(type));
        }
        return bits_made(kernels, array, recipe, key, keep.data());
    }
    // Every sample has its own scale: of all that each of them gives, take its samples.
    if (array.sample != 0) throw std::runtime_error("write more of this: " + config);
    const std::size_t own = keep.size() / static_cast<std::size_t>(array.shape[0]);
    std::vector<std::uint64_t> result;
    for (std::size_t sample = 0; sample * own < keep.size(); ++sample) {
        const auto begin = keep.begin() + static_cast<std::ptrdiff_t>(sample * own);
        const auto kept = std::count(begin, begin + static_cast<std::ptrdiff_t>(own), Byte{1});
        recipe.affine.gain = static_cast<double>(own) / static_cast<double>(std::max<std::ptrdiff_t>(1, kept));
        const std::vector<std::uint64_t> all = bits_made(kernels, array, recipe, key, keep.data());
        const std::size_t each = all.size() / static_cast<std::size_t>(array.shape[0]);
        const auto from = all.begin() + static_cast<std::ptrdiff_t>(sample * each);
        result.insert(result.end(), from, from + static_cast<std::ptrdiff_t>(each));
    }
    return result;
}

// --- The files ---

void check_philox() {
    check_lines("philox.txt", [](Count &count, const Line &line) {
        const auto counter = parts(column(line, 0), " "), key = parts(column(line, 1), " ");
        if (counter.size() != 4 || key.size() != 2) throw std::runtime_error("not a counter and a key");
        std::vector<std::uint32_t> wanted;
        for (const std::string &word : parts(column(line, 2), " ")) wanted.push_back(hexadecimal(word));
        // The high halves of the numbers are the lanes of one block.
        const std::uint32_t k0 = hexadecimal(key[0]), k1 = hexadecimal(key[1]);
        const Number number{{k0, k1}, {0, 0}, hexadecimal(counter[3])};
        const Run run{hexadecimal(counter[0]), hexadecimal(counter[1]), hexadecimal(counter[2])};
        std::vector<std::uint32_t> block(GROUP, run.block), low(GROUP, run.low), high(GROUP, run.high);
        for (const bool listed : {false, true}) {
            std::vector<std::uint32_t> numbers(8 + SLACK), got(4);
            if (listed) {
                count.kernels.words_list(number, {block.data(), low.data(), high.data()}, 1, numbers.data());
            } else {
                count.kernels.words_run(number, run, 1, numbers.data());
            }
            for (std::size_t i = 0; i < 4; ++i) got[i] = numbers[2 * i] >> 16 | (numbers[2 * i + 1] >> 16 << 16);
            count.check(wanted, got, line);
        }
    });
}

void check_keys() {
    check_lines("keys.txt", [](Count &count, const Line &line) {
        const std::uint64_t slot = whole(column(line, 2)), hash = hash_of(text_of(column(line, 1)), slot, column(line, 3));
        count.check<std::uint64_t>({whole(column(line, 6), 16)}, {hash}, line);
        const Key key{whole(column(line, 0)), hash, static_cast<std::uint32_t>(whole(column(line, 4))), 9};
        const auto plane = static_cast<std::uint32_t>(whole(column(line, 5)));
        const auto words = parts(column(line, 7), " ");
        if (words.size() != 2) throw std::runtime_error("not two words");
        const reference::PlaneKey opens{hexadecimal(words[0]), hexadecimal(words[1])};
        // The engine keeps its key words to itself: what it draws with them must be their lanes.
        std::vector<std::uint64_t> wanted, got;
        for (const std::uint64_t word :
             made<std::uint64_t>(count.kernels, {along(23)}, 0, {}, drawn(Action::word, plane / 2), key)) {
            got.push_back(plane % 2 ? word & 0xFFFF : word >> 16);
            wanted.push_back(reference::lane(opens, 0, wanted.size(), key.step));
        }
        count.check(wanted, got, line);
    });
}

void check_lanes() {
    check_lines("lanes.txt", [](Count &count, const Line &line) {
        const std::uint64_t plane = whole(column(line, 0)), first = whole(column(line, 2));
        const Key key{13, hash_of("hid1:out", 0, "Dropout"), 0, static_cast<std::uint32_t>(whole(column(line, 3)))};
        Rows rows;
        rows.start = whole(column(line, 1));
        std::vector<std::uint64_t> wanted, got;
        for (const std::string &lane : parts(column(line, 4), " ")) wanted.push_back(hexadecimal(lane));
        for (const std::uint64_t word :
             made<std::uint64_t>(count.kernels, {along(wanted.size())}, first, rows, drawn(Action::word), key)) {
            got.push_back(plane % 2 ? word & 0xFFFF : word >> 16);
        }
        count.check(wanted, got, line);
        if (plane != 0) return;
        // The same lanes as decisions, of which plane 0 has all: what is at least each of them is kept.
        for (const std::uint64_t least : wanted) {
            Recipe recipe = drawn(Action::mask);
            recipe.threshold = least << 16;
            std::vector<Byte> kept;
            for (const std::uint64_t lane : wanted) kept.push_back(lane >= least);
            count.check(kept, made<Byte>(count.kernels, {along(wanted.size())}, first, rows, recipe, key), line);
        }
    });
}

void check_ties() {
    check_lines("ties.txt", [](Count &count, const Line &line) {
        const Key key{13, hash_of("hid1:out", 0, "Dropout"), 0, 0};
        const std::uint64_t row = whole(column(line, 0)), offset = whole(column(line, 1));
        const std::uint64_t threshold = whole(column(line, 3), 16);
        const bool keep = column(line, 5) == "kept";
        if (!keep && column(line, 5) != "removed") throw std::runtime_error("neither kept nor removed");
        count.check<std::uint64_t>({threshold}, {threshold_of(real(column(line, 4)))}, line);
        Recipe mask = drawn(Action::mask);
        mask.threshold = threshold;
        const Recipe word = drawn(Action::word);
        // Alone, in a short run among those of other rows, and in a long run.
        for (const std::size_t length : {std::size_t{1}, std::size_t{20}, std::size_t{5000}}) {
            const std::uint64_t before = std::min<std::uint64_t>({offset, length / 2, length == 1 ? 0 : length});
            const std::uint64_t other_rows = length == 20 ? std::min<std::uint64_t>(row, 2) : 0;
            Rows rows;
            rows.start = row - other_rows;
            const Axis samples{Role::row, length == 20 ? 4 : 1, 0, 0, 1, 0};
            const std::vector<Axis> axes{samples, along(length)};
            const auto at = static_cast<std::size_t>(other_rows * length + before);
            const auto words = made<std::uint64_t>(count.kernels, axes, offset - before, rows, word, key);
            count.check<std::uint64_t>({whole(column(line, 2), 16)}, {words[at]}, line);
            const auto kept = made<Byte>(count.kernels, axes, offset - before, rows, mask, key);
            count.check<Byte>({keep}, {kept[at]}, line);
        }
    });
}

using Words = void (*)(std::uint32_t *, std::size_t);

// Words to numbers: all at once and one by one, for both are ends of a strip.
void check_numbers(const std::string &name, Words Kernels::*function,
                   std::size_t index) {
    check_file(name, [&](Count &count) {
        const std::vector<Line> lines = lines_of(name);
        std::vector<std::uint32_t> all, wanted;
        for (const Line &line : lines) {
            all.push_back(hexadecimal(column(line, 0)));
            wanted.push_back(hexadecimal(column(line, index)));
            std::vector<std::uint32_t> one(1 + SLACK, all.back());
            (count.kernels.*function)(one.data(), 1);
            count.check<std::uint32_t>({wanted.back()}, {one[0]}, line);
            if (index < 2) continue;
            const double numerator = reference::value_of(one[0], Type::single) * 0x1p24;
            count.check<std::uint64_t>({reference::stored(real(column(line, 1)), Type::double_)},
                                       {reference::stored(numerator, Type::double_)}, line);
        }
        all.resize(lines.size() + SLACK);
        (count.kernels.*function)(all.data(), lines.size());
        all.resize(lines.size());
        count.check(wanted, all, {"all at once"});
    });
}

void check_table() {
    check_file("../normal_table.txt", [](Count &count) {
        std::vector<std::uint64_t> wanted;
        for (const Line &row : lines_of("../normal_table.txt", " ")) {
            wanted.push_back(whole(column(row, 0)) | whole(column(row, 1)) << 32 | whole(column(row, 2)) << 48);
        }
        count.check(wanted, std::vector<std::uint64_t>(std::begin(NORMAL), std::end(NORMAL)), {"the table"});
    });
}

void check_kinds() {
    check_lines("kinds.txt", [](Count &count, const Line &line) {
        const std::string &config = column(line, 0);
        const Type type = type_named(column(line, 1));
        const std::string kind = field(config, "kind", "");
        const Key key = key_of_cases(kind.substr(1, kind.size() - 2));
        const Array array(config, column(line, 2));
        count.check(values_of(line, type), bits_made(count.kernels, array, recipe_of(config, type), key), line);
    });
    check_lines("blocks.txt", [](Count &count, const Line &line) {
        const std::string &config = column(line, 0);
        const Type type = type_named(column(line, 1));
        const Array array(config, column(line, 2));
        count.check(values_of(line, type), blocks_made(count.kernels, config, array, type), line);
    });
}

}  // namespace

int main(int count, char **arguments) {
    if (count > 1) folder = arguments[1];
    check_philox();
    check_keys();
    check_lanes();
    check_ties();
    check_table();
    check_numbers("uniforms.txt", &Kernels::uniform, 2);
    check_numbers("normals.txt", &Kernels::normal, 1);
    check_lines("scales.txt", [](Count &to, const Line &line) {
        check_scales(to, line, 1, threshold_of(real(column(line, 0))), 1);
    });
    check_lines("thresholds.txt", [](Count &to, const Line &line) {
        const int places = static_cast<int>(whole(column(line, 1)));
        check_scales(to, line, 2, exact::block_threshold(real(column(line, 0)), places), places);
    });
    check_kinds();
    std::printf("concrete.txt and schedules.txt are not the engine's: it computes neither.\n");
    std::printf("%lld passed, %lld failed\n", passed, failed);
    return failed || !passed;
}
