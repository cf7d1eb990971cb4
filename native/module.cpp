// The extension module `noisegate.engines._native`, for `noisegate.engines.native` alone.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <atomic>
#include <string>
#include <tuple>
#include <vector>

#include "plan.h"
#include "threads.h"

#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace nb = nanobind;
using namespace noisegate;

namespace {

// From which size on others may run in Python meanwhile.
constexpr std::int64_t LARGE = 1 << 12;

std::atomic<const Kernels *> chosen{nullptr};

const Kernels &in_use() {
    const Kernels *const named = chosen.load(std::memory_order_relaxed);
    return named ? *named : kernels();
}

using AxisTuple = std::tuple<int, std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t>;

Plan plan(const std::vector<AxisTuple> &axes, std::uint64_t first, std::uint64_t start, std::uint64_t step,
          std::vector<std::uint64_t> ids) {
    std::vector<Axis> made;
    for (const auto &[role, extent, x, y, along, given] : axes) {
        made.push_back({static_cast<Role>(role), extent, x, y, along, given});
    }
    return Plan(std::move(made), first, Rows{start, step, std::move(ids)});
}

Recipe recipe(int action, int type, int source, std::uint32_t number, std::uint64_t threshold,
              std::uint32_t second_number, std::uint64_t second_threshold, double gain, nb::object shift,
              double fill, double factor, double plus, std::uint64_t fill_bits, std::uint64_t other_bits) {
    Recipe made{static_cast<Action>(action), static_cast<Type>(type)};
    made.source = static_cast<Source>(source);
    made.number = number;
    made.threshold = threshold;
    made.second_number = second_number;
    made.second_threshold = second_threshold;
    made.affine = {gain, shift.is_none() ? 0.0 : nb::cast<double>(shift), fill, !shift.is_none(), fill != 0.0};
    made.factor = factor;
    made.plus = plus;
    made.fill = fill_bits;
    made.other = other_bits;
    return made;
}

// The memory of an argument: an address, or that of an object's buffer, which the caller holds.
std::uintptr_t place(nb::handle argument) {
    if (PyLong_Check(argument.ptr())) return nb::cast<std::uintptr_t>(argument);
    Py_buffer buffer;
    if (PyObject_GetBuffer(argument.ptr(), &buffer, PyBUF_STRIDES)) throw nb::python_error();
    const auto address = reinterpret_cast<std::uintptr_t>(buffer.buf);
    PyBuffer_Release(&buffer);
    return address;
}

template <class T> T *at(std::uintptr_t address) { return reinterpret_cast<T *>(address); }

// Run work on `size` elements.
template <class F> void work_on(std::int64_t size, const F &work) {
    if (size < LARGE) {
        work();
    } else {
        const nb::gil_scoped_release others;
        work();
    }
}

void run(const Plan &plan, const Recipe &recipe, std::uint64_t seed, std::uint64_t hash, std::uint32_t call,
         std::uint32_t step, nb::handle x, nb::handle y, nb::handle given) {
    const Key key{seed, hash, call, step};
    const std::uintptr_t from = place(x), to = place(y), mask = place(given);
    work_on(plan.size(), [&] {
        plan.run(recipe, key, at<const void>(from), at<void>(to), at<const Byte>(mask), in_use(), parallel_for);
    });
}

void run_steps(const Plan &plan, const Recipe &recipe, std::uint64_t seed, std::uint64_t hash, std::uint32_t call,
               const std::vector<std::uint32_t> &steps, nb::handle x, nb::handle y, std::int64_t x_part,
               std::int64_t y_part) {
    const Key key{seed, hash, call, 0};
    const Parts parts{steps.data(), static_cast<std::int64_t>(steps.size()), x_part, y_part};
    const std::uintptr_t from = place(x), to = place(y);
    work_on(plan.size() * parts.count, [&] {
        plan.run_steps(recipe, key, parts, at<const void>(from), at<void>(to), nullptr, in_use(), parallel_for);
    });
}

void spread_bytes(nb::handle in, nb::handle out, std::int64_t outer, std::int64_t extent, std::int64_t inner,
                  std::int64_t block) {
    const std::uintptr_t from = place(in), to = place(out);
    const nb::gil_scoped_release others;
    spread(at<const Byte>(from), at<Byte>(to), outer, extent, inner, block);
}

// Ask for huge pages where memory has just been allocated: the first touch of a small page costs
// more than the noise on it.
void huge_pages(std::uintptr_t address, std::size_t bytes) {
#if defined(__linux__)
    const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
    const std::uintptr_t begin = (address + page - 1) & ~(page - 1), end = (address + bytes) & ~(page - 1);
    if (begin < end) madvise(at<void>(begin), end - begin, MADV_HUGEPAGE);
#else
    static_cast<void>(address);
    static_cast<void>(bytes);
#endif
}

void choose(const std::string &name) {
    const Kernels *const named = kernels_named(name.c_str());
    if (!named) throw nb::value_error("no such instruction set here");
    chosen.store(named);
}

}  // namespace

NB_MODULE(_native, m) {
    nb::set_leak_warnings(false);  // what is alive when the interpreter ends is no fault of a user's
    watch_forks();
    m.doc() = "Noise on memory, drawn and applied in one pass. Internal: addresses are not checked.";
    nb::class_<Recipe>(m, "Recipe")
        .def(nb::new_(&recipe), nb::arg("action"), nb::arg("type"), nb::arg("source") = 0, nb::arg("number") = 0,
             nb::arg("threshold") = 0, nb::arg("second_number") = 0, nb::arg("second_threshold") = 0,
             nb::arg("gain") = 1.0, nb::arg("shift").none() = nb::none(), nb::arg("fill") = 0.0,
             nb::arg("factor") = 1.0, nb::arg("plus") = -0.0, nb::arg("fill_bits") = 0, nb::arg("other_bits") = 0);
    nb::class_<Plan>(m, "Plan")
        .def(nb::new_(&plan), nb::arg("axes"), nb::arg("first"), nb::arg("start"), nb::arg("step"), nb::arg("ids"))
        .def("run", &run, nb::arg("recipe"), nb::arg("seed"), nb::arg("hash"), nb::arg("call"), nb::arg("step"),
             nb::arg("x"), nb::arg("y"), nb::arg("given"))
        .def("run_steps", &run_steps, nb::arg("recipe"), nb::arg("seed"), nb::arg("hash"), nb::arg("call"),
             nb::arg("steps"), nb::arg("x"), nb::arg("y"), nb::arg("x_part"), nb::arg("y_part"));
    m.def("spread", &spread_bytes, nb::arg("in"), nb::arg("out"), nb::arg("outer"), nb::arg("extent"),
          nb::arg("inner"), nb::arg("block"));
    m.def("huge_pages", &huge_pages, nb::arg("address"), nb::arg("bytes"));
    m.def("bits_of", [](double value, int type) { return bits_of(value, static_cast<Type>(type)); });
    m.def("instruction_set", [] { return in_use().name; });
    m.def("choose", &choose, nb::arg("name"));
    m.def("stay_alone", &stay_alone);
    m.def("threads", &threads);
    m.def("beside_torch", &beside_torch);
}
