// Finds the longest Collatz chain: lambdapool from C++17. The class below gives
// a host what C++ expects: it closes itself, errors are exceptions, arguments
// and results are values, and a task calls a lambda back or gives a
// std::future. Needs no account: the workers are local processes.
//
//   c++ -std=c++17 cpp.cc -o cpp $(pkg-config --cflags --libs lambdapool)
//   ./cpp

#include <lambdapool.h>

#include <cstdint>
#include <exception>
#include <functional>
#include <future>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>

// --- values ------------------------------------------------------------------

using std::int64_t;

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

lp_value value(int64_t integer) {
  return lp_integer(integer);
}
lp_value value(double number) {
  return lp_number(number);
}
lp_value value(std::string_view bytes) {
  return lp_string(bytes.data(), bytes.size());
}

// What the task has returned as its i-th value.
template <typename T> T get(const lp_result &result, int i = 0) {
  const lp_value none = lp_nil();
  const lp_value &got = i < result.count ? result.values[i] : none;
  if constexpr (std::is_same_v<T, int64_t>) {
    if (got.type == LP_INTEGER)
      return got.integer;
  } else if constexpr (std::is_same_v<T, double>) {
    if (got.type == LP_NUMBER)
      return got.number;
  } else {
    if (got.type == LP_STRING)
      return T(got.bytes, got.size);
  }
  throw Error("the task has returned something else");
}

// --- the host ----------------------------------------------------------------

class Host {
public:
  using Callback = std::function<void(const lp_result &)>;

  Host() {
    lp_host *opened = nullptr;
    int status = lp_open(nullptr, &opened);
    host.reset(opened);
    check(status);
  }

  // Has a worker run Lua code. When it has ended wait() or poll() call back;
  // an exception ends the program there: it cannot go through C.
  template <typename... Args>
  void submit(const char *source, Callback callback, Args... args) {
    lp_value values[] = {value(args)..., lp_nil()};
    lp_task task;
    lp_id id;
    lp_task_init(&task, sizeof task);
    task.source = source;
    task.args = values;
    task.count = sizeof...(args);
    task.on_end = end;
    task.data = this;
    check(lp_submit(host.get(), &task, &id));
    callbacks.emplace(id, std::move(callback));
  }

  // The same, with a future of what the code returns first. Somebody has to
  // wait() or poll() before it is ready.
  template <typename T, typename... Args>
  std::future<T> async(const char *source, Args... args) {
    auto promise = std::make_shared<std::promise<T>>();
    auto keep = [promise](const lp_result &result) {
      try {
        if (result.kind != LP_DONE)
          throw Error(result.message);
        promise->set_value(get<T>(result));
      } catch (...) {
        promise->set_exception(std::current_exception());
      }
    };
    submit(source, keep, args...);
    return promise->get_future();
  }

  void wait() {
    check(lp_wait(host.get(), 0, -1));
  }
  void poll(int64_t budget_us) {
    check(lp_poll(host.get(), budget_us));
  }

private:
  void check(int status) const {
    if (status < 0)
      throw Error(host ? lp_error(host.get()) : lp_strerror(status));
  }

  static void end(lp_host *, const lp_result *result, void *data) noexcept {
    auto self = static_cast<Host *>(data);
    self->callbacks.extract(result->task).mapped()(*result);
  }

  struct Close {
    void operator()(lp_host *opened) const {
      lp_close(opened);
    }
  };
  std::unordered_map<lp_id, Callback> callbacks;
  std::unique_ptr<lp_host, Close> host;
};

// --- the program -------------------------------------------------------------

// The number from first to last whose chain is longest, and how long it is.
static const char longest[] = R"lua(
  local first, last = ...
  local best, most = 0, 0
  for start = first, last do
    local n, steps = start, 0
    while n ~= 1 do
      n = n % 2 == 0 and n // 2 or 3 * n + 1
      steps = steps + 1
    end
    if steps > most then best, most = start, steps end
  end
  return best, most
)lua";

static const char highest[] = R"lua(
  local n = ...
  local top = n
  while n ~= 1 do
    n = n % 2 == 0 and n // 2 or 3 * n + 1
    top = math.max(top, n)
  end
  return top
)lua";

static void run() {
  const int64_t limit = 400000, step = 50000;
  int64_t best = 0, most = 0;
  std::string problem;
  Host host;
  for (int64_t first = 1; first < limit; first += step) {
    auto compare = [&](const lp_result &result) {
      if (result.kind != LP_DONE) {
        problem = result.message;
      } else if (get<int64_t>(result, 1) > most) {
        best = get<int64_t>(result, 0);
        most = get<int64_t>(result, 1);
      }
    };
    host.submit(longest, compare, first, first + step - 1);
  }
  host.wait();
  if (!problem.empty())
    throw Error(problem);

  std::future<int64_t> top = host.async<int64_t>(highest, best);
  host.wait();
  std::cout << "up to " << limit << " the chain of " << best
            << " is longest: " << most << " steps, and as high as " << top.get()
            << '\n';
}

int main() {
  try {
    run();
  } catch (const std::exception &error) {
    std::cerr << "cpp: " << error.what() << '\n';
    return 1;
  }
}
