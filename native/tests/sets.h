// The instruction sets that a test goes through: those that were compiled and that this processor has.
#pragma once
#include <vector>

#include "kernels.h"

namespace noisegate {

inline std::vector<const Kernels *> instruction_sets() {
    std::vector<const Kernels *> sets;
    for (const char *const name : {"portable", "neon", "avx2", "avx512"}) {
        if (const Kernels *const found = kernels_named(name)) sets.push_back(found);
    }
    return sets;
}

}  // namespace noisegate
