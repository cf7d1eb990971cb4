// Whole numbers of any size, as few of their operations as DropBlock's rate and scale need, which are roots and powers
// that must be rounded exactly; see spec/kinds.md.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace noisegate::exact {

// Words of 32 bits, lowest first; the highest is not 0.
class Whole {
  public:
    Whole(std::uint64_t value) {
        for (; value; value >>= 32) words_.push_back(static_cast<std::uint32_t>(value));
    }
    Whole operator*(const Whole &other) const {
        Whole result(0);
        result.words_.assign(words_.size() + other.words_.size(), 0);
        for (std::size_t i = 0; i < words_.size(); ++i) {
            std::uint64_t carry = 0;
            for (std::size_t j = 0; j < other.words_.size() || carry; ++j) {
                const std::uint64_t one = j < other.words_.size() ? other.words_[j] : 0;
                carry += std::uint64_t{words_[i]} * one + result.words_[i + j];
                result.words_[i + j] = static_cast<std::uint32_t>(carry);
                carry >>= 32;
            }
        }
        return result.trimmed();
    }
    Whole operator<<(int by) const { return *this * power_of_two(by); }
    Whole minus(const Whole &smaller) const {
        Whole result = *this;
        std::uint64_t borrow = 0;
        for (std::size_t i = 0; i < words_.size(); ++i) {
            const std::uint64_t taken = (i < smaller.words_.size() ? smaller.words_[i] : 0) + borrow;
            borrow = words_[i] < taken;
            result.words_[i] = static_cast<std::uint32_t>(words_[i] - taken);
        }
        return result.trimmed();
    }
    // −1, 0 or 1.
    int compared(const Whole &other) const {
        if (words_.size() != other.words_.size()) return words_.size() < other.words_.size() ? -1 : 1;
        for (std::size_t i = words_.size(); i-- > 0;) {
            if (words_[i] != other.words_[i]) return words_[i] < other.words_[i] ? -1 : 1;
        }
        return 0;
    }
    static Whole power_of_two(int exponent) {
        Whole result(0);
        result.words_.assign(static_cast<std::size_t>(exponent / 32), 0);
        result.words_.push_back(std::uint32_t{1} << exponent % 32);
        return result;
    }

  private:
    Whole &trimmed() {
        while (!words_.empty() && words_.back() == 0) words_.pop_back();
        return *this;
    }
    std::vector<std::uint32_t> words_;
};

inline Whole power(std::uint64_t base, int exponent) {
    Whole result(1);
    for (int i = 0; i < exponent; ++i) result = result * Whole(base);
    return result;
}

// numerator / denominator, which is at least 1, rounded once to `digits` binary digits.
inline double ratio(const Whole &numerator, const Whole &denominator, int digits) {
    int exponent = 0;
    while ((denominator << (exponent + 1)).compared(numerator) <= 0) ++exponent;
    // Long division: the first digit is that of 2^exponent.
    Whole left = numerator << digits;
    std::uint64_t quotient = 0;
    for (int i = 0; i < digits; ++i) {
        const Whole part = denominator << (exponent + digits - i);
        quotient <<= 1;
        if (part.compared(left) <= 0) {
            left = left.minus(part);
            ++quotient;
        }
    }
    const int rest = (denominator << exponent).compared(left);  // half of the last digit, against what is left
    if (rest < 0 || (rest == 0 && quotient & 1)) ++quotient;
    return std::ldexp(static_cast<double>(quotient), exponent - digits + 1);
}

// 2³² / (2³² − T), to the power of `count`.
inline double survivor_scale(std::uint64_t threshold, int count, int digits) {
    return ratio(Whole::power_of_two(32 * count), power((std::uint64_t{1} << 32) - threshold, count), digits);
}

// 2³² · (1 − (1 − p)^(1/count)), rounded half to even: at least T where 1 − (T − ½)/2³² is at least the root.
inline std::uint64_t block_threshold(double p, int count) {
    int exponent = 0;
    double removed = p;
    while (removed != std::floor(removed)) {
        removed *= 2;
        ++exponent;
    }
    const Whole denominator = Whole::power_of_two(exponent);
    const Whole kept = denominator.minus(Whole(static_cast<std::uint64_t>(removed))) << 33 * count;
    std::uint64_t low = 0, high = std::uint64_t{1} << 32;
    while (low < high) {
        const std::uint64_t middle = (low + high + 1) / 2;
        const int side = (power((std::uint64_t{1} << 33) - 2 * middle + 1, count) * denominator).compared(kept);
        if (side > 0 || (side == 0 && middle % 2 == 0)) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

}  // namespace noisegate::exact
