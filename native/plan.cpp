#include "plan.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <utility>

namespace noisegate {

namespace {

// Elements of the array that a tile covers where its noise is shared.
constexpr std::int64_t COVERED = 1 << 16;
// Of an axis that memory runs along but offsets do not: enough for its cache lines to be used whole.
constexpr std::int64_t ACROSS = 64;

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// Whether an axis, with the one within it, is one longer axis.
bool joins(const Axis &outer, const Axis &inner) {
    const std::int64_t n = inner.extent;
    return outer.role == inner.role && outer.x == n * inner.x && outer.y == n * inner.y &&
           (inner.role == Role::shared || (outer.step == n * inner.step && outer.given == n * inner.given));
}

std::vector<Axis> joined(const std::vector<Axis> &axes) {
    std::vector<Axis> result;
    for (const Axis &axis : axes) {
        if (axis.extent == 1) continue;
        if (!result.empty() && joins(result.back(), axis)) {
            const std::int64_t extent = result.back().extent * axis.extent;
            result.back() = axis;
            result.back().extent = extent;
        } else {
            result.push_back(axis);
        }
    }
    return result;
}

std::int64_t near(std::int64_t x, std::int64_t y) { return std::max(std::abs(x), std::abs(y)); }

}  // namespace

Plan::Plan(std::vector<Axis> axes, std::uint64_t first, Rows rows) : first_(first), rows_(std::move(rows)) {
    for (const Axis &axis : axes) size_ *= axis.extent;
    if (size_ == 0) return;
    const auto with = [&](Role role) {
        std::vector<Axis> some;
        std::copy_if(axes.begin(), axes.end(), std::back_inserter(some),
                     [=](const Axis &axis) { return axis.role == role; });
        return joined(some);
    };
    std::vector<Axis> noise = with(Role::row);
    const std::vector<Axis> offsets = with(Role::offset), shared = with(Role::shared);
    noise.insert(noise.end(), offsets.begin(), offsets.end());
    if (offsets.empty() || offsets.back().step != 1) {
        noise.push_back({Role::offset, 1, 0, 0, 1, 1});  // runs of one element
    }
    std::int64_t repeats = 1;
    for (const Axis &axis : shared) repeats *= axis.extent;
    cut(std::move(noise), repeats);
    nest(shared);
    split();
}

// Choose how much of each axis a tile has: whole inner axes, and some of the next.
void Plan::cut(std::vector<Axis> noise, std::int64_t repeats) {
    std::int64_t left = std::min(TILE, std::max<std::int64_t>(8, COVERED / repeats));
    const std::size_t run = noise.size() - 1;
    std::vector<std::int64_t> chunks(noise.size(), 1);
    std::size_t across = run;
    for (std::size_t i = 0; i < run; ++i) {
        if (near(noise[i].x, noise[i].y) < near(noise[across].x, noise[across].y)) across = i;
    }
    if (across != run && noise[run].extent > 1) {
        chunks[across] = std::min({noise[across].extent, ACROSS, left});
        left = std::max<std::int64_t>(1, left / chunks[across]);
    }
    for (std::size_t i = noise.size(); i-- > 0;) {
        if (i == across && chunks[i] > 1) continue;
        chunks[i] = std::min(noise[i].extent, left);
        left = std::max<std::int64_t>(1, left / chunks[i]);
        if (chunks[i] < noise[i].extent) break;
    }
    if (chunks[run] < noise[run].extent && chunks[run] > 8) chunks[run] &= -8;
    std::int64_t dense = 1;
    cuts_.resize(noise.size());
    for (std::size_t i = noise.size(); i-- > 0;) {
        cuts_[i] = {noise[i], chunks[i], ceil_div(noise[i].extent, chunks[i]), dense};
        dense *= chunks[i];
        tiles_ *= cuts_[i].tiles;
    }
}

// Order the loops within a tile as memory lies, and make one of those that follow each other.
void Plan::nest(const std::vector<Axis> &shared) {
    std::vector<Loop> loops;
    for (std::size_t i = 0; i < cuts_.size(); ++i) {
        const Cut &cut = cuts_[i];
        if (cut.chunk > 1) loops.push_back({static_cast<std::int64_t>(i), 1, cut.dense, cut.axis.x, cut.axis.y});
    }
    for (const Axis &axis : shared) loops.push_back({-1, axis.extent, 0, axis.x, axis.y});
    std::stable_sort(loops.begin(), loops.end(),
                     [](const Loop &a, const Loop &b) { return near(a.x, a.y) > near(b.x, b.y); });
    for (const Loop &loop : loops) {
        Loop *const outer = loops_.empty() ? nullptr : &loops_.back();
        // Only what every tile has whole can be the inner one of two.
        std::int64_t whole = loop.count;
        if (loop.cut >= 0) {
            const Cut &cut = cuts_[static_cast<std::size_t>(loop.cut)];
            whole = cut.tiles == 1 ? cut.chunk : 0;
        }
        if (outer && whole && outer->dense == whole * loop.dense && outer->x == whole * loop.x &&
            outer->y == whole * loop.y) {
            *outer = {outer->cut, outer->count * whole, loop.dense, loop.x, loop.y};
        } else {
            loops_.push_back(loop);
        }
    }
    if (loops_.empty()) loops_.push_back({-1, 1, 0, 0, 0});
}

// Cut the longest shared loop into parts where there are few tiles, so that threads have something.
void Plan::split() {
    if (tiles_ >= 64) return;
    for (std::size_t i = 0; i < loops_.size(); ++i) {
        const bool longer = split_ < 0 || loops_[i].count > loops_[static_cast<std::size_t>(split_)].count;
        if (loops_[i].cut < 0 && loops_[i].count > 1 && longer) split_ = static_cast<std::int64_t>(i);
    }
    if (split_ < 0) return;
    const std::int64_t count = loops_[static_cast<std::size_t>(split_)].count;
    const std::int64_t wanted = std::min({count, size_ / tiles_ / GRAIN, 64 / tiles_ + 1});
    if (wanted < 2) {
        split_ = -1;
        return;
    }
    part_ = ceil_div(count, wanted);
    parts_ = ceil_div(count, part_);
}

void spread(const Byte *in, Byte *out, std::int64_t outer, std::int64_t extent, std::int64_t inner,
            std::int64_t block) {
    const std::int64_t whole = extent * inner, left = (extent - block + 1) * inner;
    for (std::int64_t o = 0; o < outer; ++o) {
        const Byte *const from = in + o * whole;
        Byte *const to = out + o * left;
        std::memcpy(to, from, static_cast<std::size_t>(left));
        for (std::int64_t shift = inner; shift < block * inner; shift += inner) {
            for (std::int64_t i = 0; i < left; ++i) to[i] = static_cast<Byte>(to[i] & from[i + shift]);
        }
    }
}

}  // namespace noisegate
