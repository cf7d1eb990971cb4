// Any number of threads gives the same bits; the pool that sleeps, from many threads at once; after a fork, one thread.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>

#include "reference.h"
#include "sets.h"
#include "threads.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define NOISEGATE_SANITIZES_THREADS
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define NOISEGATE_SANITIZES_THREADS
#endif
#if !defined(_WIN32)
#include <unistd.h>
#if !defined(NOISEGATE_SANITIZES_THREADS)
#define NOISEGATE_FORKS
#include <sys/wait.h>
#endif
#endif

using namespace noisegate;

namespace {

long long passed = 0, failed = 0;

// Seconds after which what hangs has failed: against deadlocks alone, on however loaded a machine.
[[maybe_unused]] constexpr unsigned DEADLINE = 600;

void check(bool good, const char *what) {
    ++(good ? passed : failed);
    if (!good) std::printf("FAILED: %s\n", what);
}

// A loop that counts how often each of its parts came.
class Counted {
  public:
    explicit Counted(std::int64_t count) : times_(static_cast<std::size_t>(count)) {}

    static void body(std::int64_t begin, std::int64_t end, void *context) {
        Counted &counted = *static_cast<Counted *>(context);
        for (std::int64_t i = begin; i < end; ++i) {
            counted.times_[static_cast<std::size_t>(i)].fetch_add(1, std::memory_order_relaxed);
        }
    }
    bool each_once() const {
        for (const auto &times : times_) {
            if (times.load(std::memory_order_relaxed) != 1) return false;
        }
        return true;
    }

  private:
    std::vector<std::atomic<int>> times_;
};

// Every place of a loop comes once, whatever its length, its grain and the number of threads.
void loops_are_whole() {
    bool good = true;
    for (int threads = 1; threads <= 8; ++threads) {
        for (const std::int64_t count : {0, 1, 2, 7, 64, 1000, 4099}) {
            for (const std::int64_t grain : {1, 3, 100, 5000}) {
                Counted counted(count);
                pool_for(threads, count, grain, Counted::body, &counted);
                good = good && counted.each_once();
            }
        }
    }
    check(good, "a loop's places come once each");
}

// One array and what it must become.
class Work {
  public:
    static constexpr Key KEY{13, 0xA6F2288DA7EE8613, 1, 2};

    // 300 rows of 701 from offset 5 on: many tiles, and no run that begins or ends with a block.
    Work() : plan_({{Role::row, 300, 701, 701, 1, 0}, {Role::offset, 701, 1, 1, 1, 0}}, 5, Rows{}) {
        x_.resize(static_cast<std::size_t>(plan_.size()));
        for (std::size_t i = 0; i < x_.size(); ++i) x_[i] = static_cast<float>(i % 1000) - 500.0f;
    }
    static Recipe dropout() {
        Recipe recipe{Action::masked, Type::single};
        recipe.threshold = 0x4CCCCCCD;
        recipe.affine.gain = 1.25;
        return recipe;
    }
    static Recipe noise() {
        Recipe recipe{Action::shift, Type::single};
        recipe.source = Source::normal;
        recipe.factor = 0.1;
        return recipe;
    }
    std::vector<float> made(const Plan &plan, const Recipe &recipe, const Kernels &kernels, ParallelFor loop) const {
        std::vector<float> y(x_.size());
        plan.run(recipe, KEY, x_.data(), y.data(), nullptr, kernels, loop);
        return y;
    }
    std::vector<float> made(const Recipe &recipe, const Kernels &kernels, ParallelFor loop) const {
        return made(plan_, recipe, kernels, loop);
    }
    // The same array, of which long rows share their noise: few tiles, so shared axes are cut into parts.
    Plan shared() const {
        return Plan({{Role::shared, 100, 2103, 2103, 0, 0}, {Role::offset, 2103, 1, 1, 1, 0}}, 3, Rows{});
    }
    const Plan &plan() const { return plan_; }

  private:
    Plan plan_;
    std::vector<float> x_;
};

void alone(std::int64_t count, std::int64_t, Body body, void *context) { body(0, count, context); }

bool same_bits(const std::vector<float> &a, const std::vector<float> &b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

template <int THREADS> void by(std::int64_t count, std::int64_t grain, Body body, void *context) {
    pool_for(THREADS, count, grain, body, context);
}
constexpr ParallelFor BY[] = {by<1>, by<2>, by<3>, by<4>, by<5>, by<6>, by<7>, by<8>, parallel_for};

void any_number_gives_the_same_bits(const Work &work) {
    const Plan shared = work.shared();
    for (const Kernels *const kernels : instruction_sets()) {
        for (const Recipe &recipe : {Work::dropout(), Work::noise()}) {
            for (const Plan *const plan : {&work.plan(), &shared}) {
                const std::vector<float> wanted = work.made(*plan, recipe, *kernels, alone);
                bool good = true;
                for (const ParallelFor loop : BY) good = good && same_bits(wanted, work.made(*plan, recipe, *kernels, loop));
                check(good, kernels->name);
            }
        }
    }
}

// The same bits as the reference, for one of the plans: threads that are all wrong agree, too.
void the_bits_are_right(const Work &work) {
    const std::vector<Axis> axes{{Role::row, 300, 701, 701, 1, 0}, {Role::offset, 701, 1, 1, 1, 0}};
    Recipe recipe{Action::number, Type::single};
    recipe.source = Source::normal;
    std::vector<float> wanted(static_cast<std::size_t>(work.plan().size())), got(wanted.size());
    reference::run(axes, 5, Rows{}, recipe, Work::KEY, nullptr, wanted.data(), nullptr);
    work.plan().run(recipe, Work::KEY, nullptr, got.data(), nullptr, kernels(), by<4>);
    check(same_bits(wanted, got), "four threads give what the reference gives");
}

// Call a function on several threads at once.
template <class F> bool at_once(int threads, F function) {
    std::atomic<int> ready{0}, wrong{0};
    std::vector<std::thread> all;
    for (int i = 0; i < threads; ++i) {
        all.emplace_back([&, i] {
            ready.fetch_add(1);
            while (ready.load() < threads) std::this_thread::yield();
            if (!function(i)) wrong.fetch_add(1);
        });
    }
    for (std::thread &thread : all) thread.join();
    return wrong.load() == 0;
}

void many_use_the_pool_at_once() {
    const bool good = at_once(8, [](int caller) {
        for (int i = 0; i < 150; ++i) {
            Counted counted(1 + (caller * 37 + i * 11) % 300);
            pool_for(1 + (caller + i) % 8, 1 + (caller * 37 + i * 11) % 300, 1 + i % 3, Counted::body, &counted);
            if (!counted.each_once()) return false;
        }
        return true;
    });
    check(good, "loops of eight threads at once");
}

void one_plan_is_run_at_once(const Work &work) {
    const std::vector<float> dropped = work.made(Work::dropout(), kernels(), alone);
    const std::vector<float> noisy = work.made(Work::noise(), kernels(), alone);
    const bool good = at_once(8, [&](int caller) {
        for (int i = 0; i < 4; ++i) {
            const ParallelFor loop = BY[static_cast<std::size_t>(caller + i) % 9];
            if (!same_bits(dropped, work.made(Work::dropout(), kernels(), loop))) return false;
            if (!same_bits(noisy, work.made(Work::noise(), kernels(), loop))) return false;
        }
        return true;
    });
    check(good, "one plan, run by eight threads at once");
}

// A loop within a loop must neither hang nor lose a part, least of all where a helper is the last one in the outer
// loop: whoever waits for every helper, itself too, waits for ever.
void loops_nest() {
    struct Outer {
        std::thread::id caller = std::this_thread::get_id();
        std::atomic<bool> helped{false}, wrong{false};
    };
    const Body body = [](std::int64_t, std::int64_t, void *context) {
        using std::chrono::milliseconds;
        Outer &outer = *static_cast<Outer *>(context);
        if (std::this_thread::get_id() == outer.caller) {
            for (int i = 0; i < 100 && !outer.helped.load(); ++i) std::this_thread::sleep_for(milliseconds(1));
        } else {
            outer.helped.store(true);
            std::this_thread::sleep_for(milliseconds(10));
        }
        Counted counted(50);
        pool_for(4, 50, 1, Counted::body, &counted);
        if (!counted.each_once()) outer.wrong.store(true);
    };
    bool good = true;
    for (int i = 0; i < 5; ++i) {
        Outer outer;
        pool_for(2, 2, 1, body, &outer);
        good = good && !outer.wrong.load();
    }
    check(good, "loops within a loop");
}

#if defined(NOISEGATE_FORKS)
// In a child of a process that has used the pool; it is killed where it hangs.
template <class F> bool in_child(F function) {
    std::fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        alarm(DEADLINE / 2);
        _exit(function() ? 0 : 1);
    }
    int status = -1;
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void a_child_runs_alone(const Work &work) {
    const std::vector<float> wanted = work.made(Work::dropout(), kernels(), alone);
    check(same_bits(wanted, work.made(Work::dropout(), kernels(), parallel_for)), "before a fork");
    const auto right = [&] { return threads() == 1 && same_bits(wanted, work.made(Work::dropout(), kernels(), parallel_for)); };
    check(in_child(right), "a child of a fork");
    check(in_child([&] { return right() && in_child(right); }), "a child's child");
    check(same_bits(wanted, work.made(Work::dropout(), kernels(), parallel_for)), "the parent, after its forks");
    // While other threads are in loops, which then have locks that nobody opens in the child.
    std::atomic<bool> stop{false};
    std::vector<std::thread> busy;
    for (int i = 0; i < 3; ++i) {
        busy.emplace_back([&] {
            while (!stop.load()) {
                Counted counted(500);
                pool_for(4, 500, 1, Counted::body, &counted);
            }
        });
    }
    bool good = true;
    for (int i = 0; i < 20; ++i) good = good && in_child(right);
    stop.store(true);
    for (std::thread &thread : busy) thread.join();
    check(good, "forks while loops run");
}
#endif

}  // namespace

int main() {
#if !defined(_WIN32)
    alarm(DEADLINE);
#endif
    const Work work;
    loops_are_whole();
    any_number_gives_the_same_bits(work);
    the_bits_are_right(work);
    many_use_the_pool_at_once();
    one_plan_is_run_at_once(work);
    loops_nest();
#if defined(NOISEGATE_FORKS)
    a_child_runs_alone(work);
#else
    std::printf("forks: not tried here\n");
#endif
    std::printf("%lld passed, %lld failed\n", passed, failed);
    return failed || !passed;
}
