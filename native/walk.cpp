// The walk over a plan: tile by tile, noise is drawn and then applied to all that shares it.
#include <algorithm>
#include <cstring>

#include "philox.h"
#include "plan.h"

namespace noisegate {

namespace {

// Blocks from which on they are better computed as a run than gathered in a list.
constexpr std::size_t LONG = 64;
// Blocks that are gathered in a list before they are computed.
constexpr std::size_t LISTED = 512;
// Elements that are moved one by one around a kernel, where they do not lie side by side.
constexpr std::int64_t STRIP = 256;
// Elements that have one decision and are taken at a time.
constexpr std::size_t SAME = 1024;

struct Decision {
    Byte bytes[SAME + SLACK];
    explicit Decision(int byte) { std::memset(bytes, byte, sizeof bytes); }
};
const Decision ALL(0xFF), NONE(0);

}  // namespace

// What one thread needs for its part of a walk.
class Walk {
  public:
    Walk(const Plan &plan, const Recipe &recipe, const Key &key, const void *x, void *y, const Byte *given,
         const Kernels &kernels)
        : plan_(plan), recipe_(recipe), kernels_(kernels), x_(static_cast<const char *>(x)),
          y_(static_cast<char *>(y)), given_(given), size_(size_of(recipe.type)),
          first_(number(key, recipe.number)) {
        if (recipe.action == Action::impulse) second_ = number(key, recipe.second_number);
        switch (recipe.action) {
        case Action::mask: to_ = 1; break;
        case Action::number: to_ = 4; break;
        case Action::word: to_ = 8; break;
        default: to_ = size_;
        }
        from_ = reads() ? size_ : 0;
        at_once_ = at_once();
    }

    void items(std::int64_t begin, std::int64_t end) {
        for (std::int64_t item = begin; item < end; ++item) {
            const std::int64_t before = number_;
            number_ = item / plan_.parts_;
            if (number_ != before) {
                locate();
                if (at_once_) {
                    draw_out();
                } else {
                    draw();
                }
            }
            if (!at_once_) spread_out(item % plan_.parts_);
        }
    }

  private:
    static constexpr std::size_t AXES = 72;  // torch has 64 at most, NumPy too

    bool reads() const { return recipe_.action < Action::mask; }
    bool bytes() const { return recipe_.action <= Action::impulse || recipe_.action == Action::mask; }

    static Number number(const Key &key, std::uint32_t index) {
        Number result{{0, 0}, {0, 0}, key.step};
        const std::uint32_t hash[2] = {static_cast<std::uint32_t>(key.hash), static_cast<std::uint32_t>(key.hash >> 32)};
        plane(key, hash, 2 * index, result.high);
        plane(key, hash, 2 * index + 1, result.low);
        return result;
    }

    // The key of a plane: two words of a block under the seed; see spec/streams.md.
    static void plane(const Key &key, const std::uint32_t (&hash)[2], std::uint32_t index, std::uint32_t (&out)[2]) {
        std::uint32_t c[4] = {hash[0], hash[1], key.call, index};
        philox(c, static_cast<std::uint32_t>(key.seed), static_cast<std::uint32_t>(key.seed >> 32));
        out[0] = c[0];
        out[1] = c[1];
    }

    // Find where the tile begins, and how much of each axis it has.
    void locate() {
        std::int64_t rest = number_;
        at_x_ = at_y_ = at_given_ = at_row_ = 0;
        at_offset_ = static_cast<std::int64_t>(plan_.first_);
        for (std::size_t i = plan_.cuts_.size(); i-- > 0;) {
            const Plan::Cut &cut = plan_.cuts_[i];
            const std::int64_t start = rest % cut.tiles * cut.chunk;
            rest /= cut.tiles;
            has_[i] = std::min(cut.chunk, cut.axis.extent - start);
            at_x_ += start * cut.axis.x;
            at_y_ += start * cut.axis.y;
            at_given_ += start * cut.axis.given;
            (cut.axis.role == Role::row ? at_row_ : at_offset_) += start * cut.axis.step;
        }
    }

    std::uint64_t row(std::int64_t index) const {
        const Rows &rows = plan_.rows_;
        const auto i = static_cast<std::size_t>(index);
        return rows.ids.empty() ? rows.start + rows.step * i : rows.ids[i];
    }

    // Runs of the tile that lie at equal distances, along the axis before the last.
    struct Stretch {
        std::int64_t count, row, offset, given, dense, x, y;  // of the first
        std::int64_t row_step, offset_step, given_step, dense_step, x_step, y_step;

        void next() {
            --count;
            row += row_step;
            offset += offset_step;
            given += given_step;
            dense += dense_step;
            x += x_step;
            y += y_step;
        }
    };

    // Call a function with every stretch of the tile, in the order in which they are in it.
    template <class F> void stretches(F function) const {
        const std::size_t axes = plan_.cuts_.size() - 1, outer = axes ? axes - 1 : 0;
        Stretch now{1, at_row_, at_offset_, at_given_, 0, at_x_, at_y_, 0, 0, 0, 0, 0, 0};
        if (axes) {
            const Plan::Cut &cut = plan_.cuts_[outer];
            (cut.axis.role == Role::row ? now.row_step : now.offset_step) = cut.axis.step;
            now.given_step = cut.axis.given;
            now.dense_step = cut.dense;
            now.x_step = cut.axis.x;
            now.y_step = cut.axis.y;
            now.count = has_[outer];
        }
        std::int64_t index[AXES] = {};
        while (true) {
            function(now);
            std::size_t i = outer;
            while (true) {
                if (i == 0) return;
                --i;
                const Plan::Cut &cut = plan_.cuts_[i];
                std::int64_t &along = cut.axis.role == Role::row ? now.row : now.offset;
                along += cut.axis.step;
                now.given += cut.axis.given;
                now.dense += cut.dense;
                now.x += cut.axis.x;
                now.y += cut.axis.y;
                if (++index[i] < has_[i]) break;
                along -= has_[i] * cut.axis.step;
                now.given -= has_[i] * cut.axis.given;
                now.dense -= has_[i] * cut.dense;
                now.x -= has_[i] * cut.axis.x;
                now.y -= has_[i] * cut.axis.y;
                index[i] = 0;
            }
        }
    }

    // Whether elements can be done with as soon as their noise is drawn: long runs that lie side by side
    // in memory, each for itself.
    bool at_once() const {
        const Plan::Cut &run = plan_.cuts_.back();
        return run.chunk >= size(8 * LONG) && run.axis.x == 1 && run.axis.y == 1 && (moves() || drops()) &&
               std::all_of(plan_.loops_.begin(), plan_.loops_.end(), [](const Plan::Loop &l) { return l.cut >= 0; });
    }
    bool moves() const { return recipe_.action == Action::gain || recipe_.action == Action::shift; }
    bool drops() const {
        const bool some = recipe_.threshold != 0 && recipe_.threshold >> 32 == 0;
        return recipe_.action == Action::masked && some && !recipe_.affine.adds && !recipe_.affine.fills && !given_;
    }

    void draw_out() {
        const Threshold t = threshold(recipe_.threshold);
        const auto run = static_cast<std::size_t>(length());
        const bool normal = recipe_.source == Source::normal;
        auto *const moved = (recipe_.action == Action::gain ? kernels_.gained : kernels_.shifted)[type()];
        stretches([&](Stretch s) {
            const bool together = s.offset_step == 0 && plan_.rows_.ids.empty();
            const std::uint64_t step = plan_.rows_.step * static_cast<std::uint64_t>(s.row_step);
            const auto many = static_cast<std::size_t>(together ? s.count : 1);
            for (; s.count > 0; s.next()) {
                const Elements rows{many, static_cast<std::size_t>(s.offset & 7), run, step, s.x_step, s.y_step};
                const char *const x = x_ + s.x * size(from_);
                char *const y = y_ + s.y * size(to_);
                if (bytes()) {
                    kernels_.dropped[type()](first_, t, of(s), rows, x, y, recipe_.affine.gain);
                } else {
                    moved(first_, normal, of(s), rows, x, y, recipe_.factor, recipe_.plus);
                }
                if (together) return;
            }
        });
    }

    static Threshold threshold(std::uint64_t all) {
        return {static_cast<std::uint32_t>(all >> 16), static_cast<std::uint32_t>(all & 0xFFFF)};
    }

    // The blocks of a run.
    Run of(const Stretch &s) const {
        const std::uint64_t id = row(s.row);
        return {static_cast<std::uint32_t>(s.offset >> 3), static_cast<std::uint32_t>(id),
                static_cast<std::uint32_t>(id >> 32)};
    }

    // What is drawn for the elements of a tile.
    struct Decisions {
        const Kernels &by;
        const Number &number;
        Threshold t;
        void of(Run run, std::size_t count, Byte *out) const { by.keep_run(number, t, run, count, out); }
        void of(Grid grid, std::size_t count, Byte *out) const { by.keep_grid(number, t, grid, count, out); }
        void of(List list, std::size_t count, Byte *out) const { by.keep_list(number, t, list, count, out); }
    };
    struct Words {
        const Kernels &by;
        const Number &number;
        void of(Run run, std::size_t count, std::uint32_t *out) const { by.words_run(number, run, count, out); }
        void of(Grid grid, std::size_t count, std::uint32_t *out) const { by.words_grid(number, grid, count, out); }
        void of(List list, std::size_t count, std::uint32_t *out) const { by.words_list(number, list, count, out); }
    };

    // Draw the noise of the tile.
    void draw() {
        if (given_) {
            const std::int64_t step = plan_.cuts_.back().axis.given;
            stretches([&](Stretch s) {
                for (; s.count > 0; s.next()) {
                    for (std::int64_t i = 0; i < length(); ++i) {
                        tile_[s.dense + i] = given_[s.given + i * step] ? 0xFF : 0;
                    }
                }
            });
            keep_ = tile_;
            return;
        }
        if (bytes()) {
            keep_ = kept(first_, recipe_.threshold, tile_, scratch_);
            if (recipe_.action == Action::impulse) {
                other_ = kept(second_, recipe_.second_threshold, other_tile_, other_scratch_);
            }
            return;
        }
        words_ = drawn(Words{kernels_, first_}, word_tile_, word_scratch_);
        if (recipe_.action == Action::word) return;
        auto *const inverse = recipe_.source == Source::normal ? kernels_.normal : kernels_.uniform;
        // What stands before the first element in its block is turned into a number too, harmlessly.
        std::uint32_t *const words = const_cast<std::uint32_t *>(words_);
        inverse(words, extent());
    }

    std::size_t extent() const {
        std::int64_t last = 0;
        for (std::size_t i = 0; i < plan_.cuts_.size(); ++i) last += (has_[i] - 1) * plan_.cuts_[i].dense;
        return static_cast<std::size_t>(last + 1);
    }

    const Byte *kept(const Number &number, std::uint64_t limit, Byte *tile, Byte *scratch) {
        if (limit == 0 || limit >> 32) {
            std::memset(tile, limit ? 0 : 0xFF, extent());
            return tile;
        }
        return drawn(Decisions{kernels_, number, threshold(limit)}, tile, scratch);
    }

    std::int64_t length() const { return has_[plan_.cuts_.size() - 1]; }

    // Draw all runs of the tile: into the tile, or, where it is one run, leave it where it is drawn.
    template <class T, class Draw> const T *drawn(const Draw &draw, T *tile, T *scratch) {
        const auto run = static_cast<std::size_t>(length());
        const bool alone = extent() == run;
        if (!alone && (run + 14) >> 3 < LONG) {
            stretches([&](const Stretch &s) {
                if (is_grid(s, run)) {
                    gridded(s, run, draw, tile, scratch);
                } else {
                    listed(s, run, draw, tile, scratch);
                }
            });
            return tile;
        }
        const T *result = tile;
        stretches([&](Stretch s) {
            for (; s.count > 0; s.next()) {
                const std::size_t lead = s.offset & 7;
                T *const to = tile + s.dense;
                // What is written too much is the next run's, and written over.
                draw.of(of(s), (lead + run + 7) >> 3, lead || alone ? scratch : to);
                if (alone) {
                    result = scratch + lead;
                } else if (lead) {
                    std::memcpy(to, scratch + lead, run * sizeof(T));
                }
            }
        });
        return result;
    }

    // Whether short runs are the same blocks of rows that follow each other.
    bool is_grid(const Stretch &s, std::size_t run) const {
        const std::uint64_t step = plan_.rows_.step, first = row(s.row), low = first & 0xFFFFFFFF;
        const bool follow = s.row_step == 1 && plan_.rows_.ids.empty() && step >> 32 == 0;
        const bool carries = (low + step * static_cast<std::uint64_t>(s.count)) >> 32 != 0;
        return follow && !carries && ((s.offset & 7) + static_cast<std::int64_t>(run) > 8);
    }

    template <class T, class Draw>
    void gridded(const Stretch &s, std::size_t run, const Draw &draw, T *tile, T *scratch) {
        const std::size_t lead = s.offset & 7, blocks = (lead + run + 7) >> 3;
        const auto count = static_cast<std::size_t>(s.count), many = LISTED / blocks;
        const Run first = of(s);
        const auto step = static_cast<std::uint32_t>(plan_.rows_.step);
        for (std::size_t i = 0; i < count; i += many) {
            const std::size_t some = std::min(many, count - i);
            const std::uint32_t low = first.low + static_cast<std::uint32_t>(i) * step;
            draw.of(Grid{first.block, low, first.high, step, static_cast<std::uint32_t>(blocks)}, some * blocks, scratch);
            T *const to = tile + s.dense + static_cast<std::int64_t>(i) * s.dense_step;
            kernels_.pack(scratch + lead, 8 * blocks * sizeof(T), to,
                          static_cast<std::size_t>(s.dense_step) * sizeof(T), run * sizeof(T), some);
        }
    }

    // Draw any short runs, many at a time: the blocks of all of them make one list.
    template <class T, class Draw>
    void listed(Stretch s, std::size_t run, const Draw &draw, T *tile, T *scratch) {
        while (s.count > 0) {
            std::size_t blocks = 0, waiting = 0;
            for (; s.count > 0; s.next()) {
                const std::size_t lead = s.offset & 7, some = (lead + run + 7) >> 3;
                if (blocks + some > LISTED) break;
                waiting_[waiting++] = {static_cast<std::uint32_t>(s.dense), static_cast<std::uint32_t>(8 * blocks + lead)};
                const Run first = of(s);
                for (std::uint32_t i = 0; i < some; ++i, ++blocks) {
                    block_[blocks] = first.block + i;
                    low_[blocks] = first.low;
                    high_[blocks] = first.high;
                }
            }
            for (std::size_t i = blocks; i % GROUP; ++i) block_[i] = low_[i] = high_[i] = 0;
            draw.of(List{block_, low_, high_}, blocks, scratch);
            for (std::size_t i = 0; i < waiting; ++i) {
                kernels_.pack(scratch + waiting_[i].from, 0, tile + waiting_[i].to, 0, run * sizeof(T), 1);
            }
        }
    }

    // Apply the tile to all that shares it.
    void spread_out(std::int64_t part) {
        std::int64_t counts[AXES], index[AXES] = {};
        const std::size_t loops = plan_.loops_.size();
        std::int64_t x = at_x_, y = at_y_, dense = 0;
        for (std::size_t i = 0; i < loops; ++i) {
            const Plan::Loop &loop = plan_.loops_[i];
            counts[i] = loop.count * (loop.cut < 0 ? 1 : has_[loop.cut]);
            if (static_cast<std::int64_t>(i) == plan_.split_) {
                const std::int64_t start = part * plan_.part_;
                counts[i] = std::min(plan_.part_, counts[i] - start);
                x += start * loop.x;
                y += start * loop.y;
            }
        }
        const Plan::Loop &inner = plan_.loops_[loops - 1];
        while (true) {
            strip(counts[loops - 1], dense, x, y, inner);
            std::size_t i = loops - 1;
            while (true) {
                if (i == 0) return;
                --i;
                const Plan::Loop &loop = plan_.loops_[i];
                x += loop.x;
                y += loop.y;
                dense += loop.dense;
                if (++index[i] < counts[i]) break;
                x -= counts[i] * loop.x;
                y -= counts[i] * loop.y;
                dense -= counts[i] * loop.dense;
                index[i] = 0;
            }
        }
    }

    // Apply noise to elements of one loop.
    void strip(std::int64_t count, std::int64_t dense, std::int64_t x, std::int64_t y, const Plan::Loop &loop) {
        const bool close = (loop.x == 1 || !reads()) && loop.y == 1;
        if (close && loop.dense == 0 && count > 1 && (bytes() || reads())) {
            same(static_cast<std::size_t>(count), dense, x_ + x * size(from_), y_ + y * size(to_));
        } else if (close && (loop.dense == 1 || count == 1)) {
            noisy(count, dense, x_ + x * size(from_), y_ + y * size(to_));
        } else {
            for (std::int64_t i = 0; i < count; i += STRIP) {
                scattered(std::min(STRIP, count - i), dense + i * loop.dense, x + i * loop.x, y + i * loop.y, loop);
            }
        }
    }

    // Elements side by side, and their noise too.
    void noisy(std::int64_t count, std::int64_t dense, const char *x, char *y) {
        const auto some = static_cast<std::size_t>(count);
        if (bytes()) {
            decided(some, keep_ + dense, other_ ? other_ + dense : nullptr, x, y);
        } else {
            moved(some, words_ + dense, x, y);
        }
    }

    static std::int64_t size(std::size_t bytes) { return static_cast<std::int64_t>(bytes); }

    // One decision, or number, for all of a strip.
    void same(std::size_t count, std::int64_t dense, const char *x, char *y) {
        const bool kept = !bytes() || keep_[dense];
        if (recipe_.action == Action::masked || !bytes()) {
            if (kept) {
                kernels_.masked[type()](count, x, y, nullptr, bytes() ? recipe_.affine : number_as_affine(dense));
                return;
            }
            if (!recipe_.affine.fills) {
                std::memset(y, 0, count * to_);
                return;
            }
        }
        const Byte *const keep = kept ? ALL.bytes : NONE.bytes;
        const Byte *const other = other_ ? (other_[dense] ? ALL.bytes : NONE.bytes) : nullptr;
        for (std::size_t i = 0; i < count; i += SAME) {
            decided(std::min(SAME, count - i), keep, other, x + i * from_, y + i * to_);
        }
    }

    // A random gain or shift that is the same for many elements, in the precision of the type.
    Affine number_as_affine(std::int64_t dense) const {
        float z;
        std::memcpy(&z, words_ + dense, sizeof z);
        double value = static_cast<double>(z) * recipe_.factor + recipe_.plus;
        if (recipe_.type != Type::double_) {
            const float product = z * static_cast<float>(recipe_.factor);
            value = product + static_cast<float>(recipe_.plus);
        }
        if (recipe_.action == Action::gain) return {value, 0.0, 0.0, false, false};
        return {1.0, value, 0.0, true, false};
    }

    std::size_t type() const { return static_cast<std::size_t>(recipe_.type); }

    // Elements side by side, each with a decision of its own.
    void decided(std::size_t count, const Byte *keep, const Byte *other, const char *x, char *y) {
        switch (recipe_.action) {
        case Action::masked: kernels_.masked[type()](count, x, y, keep, recipe_.affine); break;
        case Action::mask:
            for (std::size_t i = 0; i < count; ++i) y[i] = static_cast<char>(keep[i] & 1);
            break;
        default: kernels_.select[type()](count, x, y, keep, other, recipe_.fill, recipe_.other);
        }
    }

    // Elements side by side, each with a number of its own.
    void moved(std::size_t count, const std::uint32_t *words, const char *x, char *y) {
        const auto *const z = reinterpret_cast<const float *>(words);
        switch (recipe_.action) {
        case Action::gain: kernels_.gain[type()](count, x, y, z, recipe_.factor, recipe_.plus); break;
        case Action::shift: kernels_.shift[type()](count, x, y, z, recipe_.factor, recipe_.plus); break;
        case Action::number: std::memcpy(y, words, count * sizeof(float)); break;
        default:
            for (std::size_t i = 0; i < count; ++i) {
                const std::uint64_t wide = words[i];
                std::memcpy(y + i * sizeof wide, &wide, sizeof wide);
            }
        }
    }

    // Elements that do not lie side by side: gathered, and scattered again.
    void scattered(std::int64_t count, std::int64_t dense, std::int64_t x, std::int64_t y, const Plan::Loop &loop) {
        alignas(64) char in[8 * STRIP], out[8 * STRIP];
        const char *from = x_ + x * size(from_);
        char *const to = y_ + y * size(to_), *const result = loop.y == 1 ? to : out;
        if (reads() && loop.x != 1) {
            move(in, from, count, 1, loop.x, from_);
            from = in;
        }
        if (loop.dense == 1) {
            noisy(count, dense, from, result);
        } else if (bytes()) {
            for (std::int64_t i = 0; i < count; ++i) one_[i] = keep_[dense + i * loop.dense];
            for (std::int64_t i = 0; other_ && i < count; ++i) another_[i] = other_[dense + i * loop.dense];
            decided(static_cast<std::size_t>(count), one_, other_ ? another_ : nullptr, from, result);
        } else {
            for (std::int64_t i = 0; i < count; ++i) numbers_[i] = words_[dense + i * loop.dense];
            moved(static_cast<std::size_t>(count), numbers_, from, result);
        }
        if (result == out) move(to, out, count, loop.y, 1, to_);
    }

    template <std::size_t SIZE>
    static void move(char *to, const char *from, std::int64_t count, std::int64_t step_to, std::int64_t step_from) {
        for (std::int64_t i = 0; i < count; ++i) {
            std::memcpy(to + i * step_to * size(SIZE), from + i * step_from * size(SIZE), SIZE);
        }
    }
    static void move(char *to, const char *from, std::int64_t count, std::int64_t step_to, std::int64_t step_from,
                     std::size_t bytes) {
        switch (bytes) {
        case 1: return move<1>(to, from, count, step_to, step_from);
        case 2: return move<2>(to, from, count, step_to, step_from);
        case 4: return move<4>(to, from, count, step_to, step_from);
        default: return move<8>(to, from, count, step_to, step_from);
        }
    }
    const Plan &plan_;
    const Recipe &recipe_;
    const Kernels &kernels_;
    const char *const x_;
    char *const y_;
    const Byte *const given_;
    const std::size_t size_;
    const Number first_;
    Number second_{};
    std::size_t from_ = 0, to_ = 0;
    bool at_once_ = false;

    std::int64_t number_ = -1, at_x_ = 0, at_y_ = 0, at_given_ = 0, at_row_ = 0, at_offset_ = 0;
    std::int64_t has_[AXES] = {};

    struct Waiting {
        std::uint32_t to, from;
    };
    const Byte *keep_ = nullptr, *other_ = nullptr;
    const std::uint32_t *words_ = nullptr;
    Waiting waiting_[LISTED];
    std::uint32_t block_[LISTED + GROUP], low_[LISTED + GROUP], high_[LISTED + GROUP];
    alignas(64) Byte one_[STRIP + SLACK], another_[STRIP + SLACK];
    alignas(64) std::uint32_t numbers_[STRIP + SLACK];
    alignas(64) Byte tile_[TILE + SLACK], other_tile_[TILE + SLACK], scratch_[TILE + SLACK], other_scratch_[TILE + SLACK];
    alignas(64) std::uint32_t word_tile_[TILE + SLACK], word_scratch_[TILE + SLACK];
};

void Plan::run(const Recipe &recipe, const Key &key, const void *x, void *y, const Byte *given,
               const Kernels &kernels, ParallelFor parallel_for) const {
    run_steps(recipe, key, Parts{&key.step, 1, 0, 0}, x, y, given, kernels, parallel_for);
}

void Plan::run_steps(const Recipe &recipe, const Key &key, const Parts &parts, const void *x, void *y,
                     const Byte *given, const Kernels &kernels, ParallelFor parallel_for) const {
    if (size_ == 0) return;
    struct Context {
        const Plan *plan;
        const Recipe &recipe;
        const Key &key;
        const Parts &parts;
        const char *x;
        char *y;
        const Byte *given;
        const Kernels &kernels;
        std::int64_t items;  // of one part
    } context{this, recipe, key, parts, static_cast<const char *>(x), static_cast<char *>(y), given, kernels,
              tiles_ * parts_};
    const Body body = [](std::int64_t begin, std::int64_t end, void *with) {
        const Context &c = *static_cast<Context *>(with);
        while (begin < end) {
            const std::int64_t part = begin / c.items, first = part * c.items;
            const std::int64_t stop = std::min(end, first + c.items);
            const Key at{c.key.seed, c.key.hash, c.key.call, c.parts.steps[part]};
            Walk walk(*c.plan, c.recipe, at, c.x + part * c.parts.x, c.y + part * c.parts.y, c.given, c.kernels);
            walk.items(begin - first, stop - first);
            begin = stop;
        }
    };
    const std::int64_t items = context.items * parts.count, size = size_ * parts.count;
    const std::int64_t grain = std::max<std::int64_t>(1, GRAIN * items / size);
    if (size < SMALL || items <= grain) {
        body(0, items, &context);
    } else {
        parallel_for(items, grain, body, &context);
    }
}

}  // namespace noisegate
