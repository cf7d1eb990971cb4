// Loops over several threads: torch's own pool where torch is loaded, else one that sleeps.
#pragma once
#include <cstdint>

#include "plan.h"

namespace noisegate {

// From then on the children of a fork use one thread: theirs is alone, and the pools do not know.
void watch_forks();

// One thread from now on: this process is such a child, and was one before anybody watched.
void stay_alone();

// How many threads a loop may use: as torch is told where it is loaded, else as many as there are
// cores, or as NOISEGATE_THREADS says; one after a fork.
int threads();

// Whether torch's pool is in use.
bool beside_torch();

// Call `body` for all parts of [0, count), each at least `grain`, on several threads.
void parallel_for(std::int64_t count, std::int64_t grain, Body body, void *context);

// The same on the pool that sleeps, with a number of threads; for tests.
void pool_for(int threads, std::int64_t count, std::int64_t grain, Body body, void *context);

}  // namespace noisegate
