#include "threads.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <thread>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#else
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#endif

namespace noisegate {

namespace {

// Exported by libtorch_cpu as part of torch's stable interface of C, since 2.10.
using TorchParallelFor = int (*)(std::int64_t begin, std::int64_t end, std::int64_t grain,
                                 void (*)(std::int64_t, std::int64_t, void *), void *);
using TorchThreads = int (*)(std::uint32_t *);

struct Torch {
    TorchParallelFor parallel_for = nullptr;
    TorchThreads threads = nullptr;
};

// What torch exports, if it is loaded by now.
Torch look_for_torch() {
    Torch torch;
#if defined(_WIN32)
    if (const HMODULE library = GetModuleHandleA("torch_cpu.dll")) {
        torch.parallel_for = reinterpret_cast<TorchParallelFor>(
            reinterpret_cast<void *>(GetProcAddress(library, "torch_parallel_for")));
        torch.threads = reinterpret_cast<TorchThreads>(
            reinterpret_cast<void *>(GetProcAddress(library, "torch_get_num_threads")));
    }
#else
#if defined(__APPLE__)
    const char *const name = "@rpath/libtorch_cpu.dylib";
#else
    const char *const name = "libtorch_cpu.so";
#endif
    if (void *const library = dlopen(name, RTLD_LAZY | RTLD_NOLOAD)) {
        torch.parallel_for = reinterpret_cast<TorchParallelFor>(dlsym(library, "torch_parallel_for"));
        torch.threads = reinterpret_cast<TorchThreads>(dlsym(library, "torch_get_num_threads"));
        dlclose(library);
    }
#endif
    return torch;
}

// Torch may be loaded after us; once it is found it stays.
const Torch &torch() {
    static std::atomic<const Torch *> found{nullptr};
    static const Torch none;
    if (const Torch *const known = found.load(std::memory_order_acquire)) return *known;
    const Torch looked = look_for_torch();
    if (!looked.parallel_for) return none;
    static const Torch kept = looked;
    found.store(&kept, std::memory_order_release);
    return kept;
}

// A child of a fork has no thread but its own, and the pools do not know.
std::atomic<bool> forked{false};

int own_threads() {
    static const int count = [] {
        if (const char *const text = std::getenv("NOISEGATE_THREADS")) {
            if (const int asked = std::atoi(text); asked > 0) return asked;
        }
#if defined(__linux__)
        cpu_set_t mine;  // of all cores those that this process may use
        if (sched_getaffinity(0, sizeof mine, &mine) == 0) return std::max(1, CPU_COUNT(&mine));
#endif
        return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    }();
    return count;
}

// A loop whose parts are taken by whoever comes first.
struct Loop {
    std::int64_t count, part;
    Body body;
    void *context;
    std::atomic<std::int64_t> taken{0};
    int helpers = 0;  // in it now; the pool's lock guards it

    void work() {
        for (std::int64_t begin; (begin = taken.fetch_add(part)) < count;) {
            body(begin, std::min(begin + part, count), context);
        }
    }
};

// Threads that sleep until there is a loop. The caller takes every part that nobody took, so a
// loop ends even if no helper ever wakes.
class Pool {
  public:
    void run(Loop &loop, int helpers) {
        std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
        if (!lock.owns_lock() || current_) {  // somebody else's loop has the helpers
            if (lock.owns_lock()) lock.unlock();
            loop.work();
            return;
        }
        while (started_ < helpers) {
            try {
                std::thread([this] { help(); }).detach();
            } catch (...) {  // no more threads are to be had
                break;
            }
            ++started_;
        }
        current_ = &loop;
        wanted_ = std::min(helpers, started_);
        lock.unlock();
        wake_.notify_all();
        loop.work();
        lock.lock();
        current_ = nullptr;
        wanted_ = 0;
        idle_.wait(lock, [&loop] { return loop.helpers == 0; });
    }

  private:
    [[noreturn]] void help() {
        std::unique_lock<std::mutex> lock(mutex_);
        while (true) {
            wake_.wait(lock, [this] { return wanted_ > 0; });
            --wanted_;
            Loop &loop = *current_;
            ++loop.helpers;
            lock.unlock();
            loop.work();
            lock.lock();
            if (--loop.helpers == 0) idle_.notify_all();
        }
    }

    std::mutex mutex_;
    std::condition_variable wake_, idle_;
    Loop *current_ = nullptr;
    int started_ = 0, wanted_ = 0;
};

// Never destroyed: its threads sleep in it when the process ends.
Pool &pool() {
    static Pool &pool = *new Pool;
    return pool;
}

}  // namespace

void watch_forks() {
#if !defined(_WIN32)
    static const int watched = pthread_atfork(nullptr, nullptr, [] { forked.store(true); });
    static_cast<void>(watched);
#endif
}

void stay_alone() { forked.store(true); }

bool beside_torch() { return torch().parallel_for != nullptr; }

int threads() {
    watch_forks();
    if (forked.load()) return 1;
    std::uint32_t count = 0;
    if (torch().threads && torch().threads(&count) == 0) return static_cast<int>(count);
    return own_threads();
}

void pool_for(int threads, std::int64_t count, std::int64_t grain, Body body, void *context) {
    // Four parts a thread even out what others take of the cores.
    const std::int64_t part = std::max(grain, (count + 4 * threads - 1) / (4 * threads));
    if (threads < 2 || part >= count) {
        body(0, count, context);
        return;
    }
    Loop loop{count, part, body, context};
    const std::int64_t parts = (count + part - 1) / part;
    pool().run(loop, static_cast<int>(std::min<std::int64_t>(threads, parts)) - 1);
}

void parallel_for(std::int64_t count, std::int64_t grain, Body body, void *context) {
    watch_forks();
    const bool alone = forked.load();
    if (!alone && torch().parallel_for) {
        torch().parallel_for(0, count, grain, body, context);
    } else {
        pool_for(alone ? 1 : own_threads(), count, grain, body, context);
    }
}

}  // namespace noisegate
