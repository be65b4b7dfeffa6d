// Runs an ExecuTorch program on a device and measures it; docs/reference/runner.md describes its
// options and output.

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>
#include <executorch/runtime/platform/platform.h>

#include "options.h"

#if __has_include(<executorch/extension/threadpool/threadpool.h>)
#include <executorch/extension/threadpool/threadpool.h>
#else
// The wheel has the library without its header.
namespace executorch::extension::threadpool {
class ThreadPool {
 public:
  bool _unsafe_reset_threadpool(uint32_t threads);
};
ThreadPool* get_threadpool();
}  // namespace executorch::extension::threadpool
#endif

namespace {

namespace fs = std::filesystem;
namespace et = executorch::runtime;
using executorch::extension::Module;
using executorch::extension::TensorPtr;
using Clock = std::chrono::steady_clock;

// ---- The process

void pin(const std::vector<int>& cores) {
  cpu_set_t wanted, found;
  CPU_ZERO(&wanted);
  for (const int core : cores) {
    if (core >= CPU_SETSIZE) throw Failure("--cores: there is no core " + std::to_string(core));
    CPU_SET(core, &wanted);
  }
  // The kernel ignores cores that it cannot use, so check which ones it set.
  if (sched_setaffinity(0, sizeof wanted, &wanted) != 0 ||
      sched_getaffinity(0, sizeof found, &found) != 0 || !CPU_EQUAL(&wanted, &found)) {
    throw Failure("--cores: not all of these cores can be used here");
  }
}

double peak_rss_mb() {
  // Not getrusage: its peak starts from that of the parent process.
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmHWM:", 0) == 0) return std::strtod(line.c_str() + 6, nullptr) / 1024;
  }
  throw Failure("/proc/self/status: has no VmHWM");
}

double ms(Clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

// ---- The runtime

std::string first_complaint;  // the runtime's first error message; its functions return only codes

void keep_complaint(et_timestamp_t, et_pal_log_level_t level, const char*, const char*, size_t,
                    const char* message, size_t length) {
  const std::string text(message, length);
  if (level == kFatal) std::cerr << text << std::endl;  // the runtime aborts after this
  if (level == kError && first_complaint.empty()) first_complaint = text;
}

void check(et::Error error, const std::string& what) {
  if (error == et::Error::Ok) return;
  std::string reason = et::to_string(error);
  if (!first_complaint.empty()) reason += ": " + first_complaint;
  throw Failure(what + ": " + reason);
}

// Loads as a file, which is the default of ExecuTorch's own bindings for Android.
std::unique_ptr<Module> load(const std::string& path) {
  auto module = std::make_unique<Module>(path, Module::LoadMode::File);
  check(module->load(), path + ": cannot be loaded");
  check(module->load_forward(), path + ": cannot be loaded");
  return module;
}

// The runtime does not check what it loads; this reports what is wrong with a damaged file.
void verify(const std::string& path) {
  if (!std::ifstream(path)) throw Failure(path + ": cannot be read");
  Module module(path, Module::LoadMode::File);
  check(module.load(et::Program::Verification::InternalConsistency),
        path + ": not a readable ExecuTorch program");
}

class Network {
 public:
  explicit Network(std::unique_ptr<Module> module) : module_(std::move(module)) {
    const auto meta = module_->method_meta("forward");
    check(meta.error(), "forward");
    if (meta->num_inputs() != 1 || !meta->input_tensor_meta(0).ok()) {
      throw Failure("the program must have one input, a tensor; found " +
                    std::to_string(meta->num_inputs()) + " inputs");
    }
    const auto input = meta->input_tensor_meta(0);
    size_ = input->nbytes();
    // XNNPACK may read a little beyond the end of its input.
    data_.resize(size_ + 128);
    const auto sizes = input->sizes();
    input_ = executorch::extension::from_blob(data_.data(), {sizes.begin(), sizes.end()},
                                              input->scalar_type());
  }

  // Reads the input from a file of exactly its size.
  void read(const std::string& path) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    if (!file) throw Failure(path + ": cannot be read");
    const auto found = static_cast<size_t>(file.tellg());
    if (found != size_) {
      throw Failure(path + ": found " + std::to_string(found) + " bytes, the input has " +
                    std::to_string(size_));
    }
    file.seekg(0);
    if (!file.read(reinterpret_cast<char*>(data_.data()), static_cast<std::streamsize>(size_))) {
      throw Failure(path + ": cannot be read");
    }
  }

  std::vector<et::EValue> run() {
    auto outputs = module_->forward(input_);
    check(outputs.error(), "cannot run");
    return std::move(*outputs);
  }

 private:
  std::unique_ptr<Module> module_;
  size_t size_;
  std::vector<uint8_t> data_;
  TensorPtr input_;
};

// ---- Files

// Writes a whole file or none: to a new file beside it, which is flushed and then renamed.
void write(const fs::path& path, const void* data, size_t size) {
  const std::string beside = path.string() + ".new";
  const int file = open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  bool done = file >= 0;
  for (size_t at = 0; done && at < size;) {
    const ssize_t count = ::write(file, static_cast<const char*>(data) + at, size - at);
    done = count > 0;
    if (done) at += static_cast<size_t>(count);
  }
  done = done && fsync(file) == 0;
  if (file >= 0) done = close(file) == 0 && done;
  if (!done || std::rename(beside.c_str(), path.c_str()) != 0) {
    const std::string reason = std::strerror(errno);
    std::remove(beside.c_str());
    throw Failure(path.string() + ": cannot be written: " + reason);
  }
}

template <typename T>
std::string joined(const std::vector<T>& values, const char* separator) {
  std::ostringstream text;
  text << std::fixed;
  text.precision(6);
  for (size_t i = 0; i < values.size(); ++i) text << (i ? separator : "") << values[i];
  return text.str();
}

// ---- The run

void run(const Options& options) {
  if (!options.cores.empty()) pin(options.cores);  // threads inherit it
  et::register_pal(et::PalImpl::create(keep_complaint, __FILE__));
  std::error_code error;
  fs::create_directories(options.out, error);
  if (error) throw Failure(options.out.string() + ": cannot be created: " + error.message());
  const fs::path result = options.out / "result.json";
  fs::remove(result, error);  // an old one would be mistaken for this run's
  verify(options.model);
  executorch::extension::threadpool::get_threadpool()->_unsafe_reset_threadpool(
      static_cast<uint32_t>(options.threads));

  auto begin = Clock::now();
  auto module = load(options.model);
  const double load_cold_ms = ms(Clock::now() - begin);
  module.reset();
  begin = Clock::now();
  module = load(options.model);
  const double load_warm_ms = ms(Clock::now() - begin);

  Network network(std::move(module));
  if (!options.inputs.empty()) network.read(options.inputs[0]);
  begin = Clock::now();
  network.run();
  const double first_ms = ms(Clock::now() - begin);

  for (size_t i = 0; i < options.inputs.size(); ++i) {
    network.read(options.inputs[i]);
    const auto outputs = network.run();
    for (size_t j = 0; j < outputs.size(); ++j) {
      if (!outputs[j].isTensor()) throw Failure("output " + std::to_string(j) + ": not a tensor");
      const auto& tensor = outputs[j].toTensor();
      const auto name = std::to_string(i) + "." + std::to_string(j) + ".bin";
      write(options.out / name, tensor.const_data_ptr(), tensor.nbytes());
    }
  }

  std::vector<double> latencies_ms, t_ms;
  if (options.runs > 0) {
    for (int i = 0; i < options.warmup; ++i) network.run();
    const auto start = Clock::now();
    for (auto at = start; latencies_ms.size() < static_cast<size_t>(options.runs) ||
                          ms(at - start) < options.seconds * 1e3;
         at = Clock::now()) {
      network.run();
      latencies_ms.push_back(ms(Clock::now() - at));
      t_ms.push_back(ms(at - start));
    }
  }

  std::ostringstream json;
  json << "{\n"
       << " \"schema\": 1,\n"
       << " \"job\": \"\",\n"
       << " \"status\": \"ok\",\n"
       << " \"error\": null,\n"
       << " \"samples\": {\n"
       << "  \"golden_sqnr_db\": null,\n"
       << "  \"load_cold_ms\": " << load_cold_ms << ",\n"
       << "  \"load_warm_ms\": " << load_warm_ms << ",\n"
       << "  \"first_ms\": " << first_ms << ",\n"
       << "  \"latencies_ms\": [" << joined(latencies_ms, ", ") << "],\n"
       << "  \"t_ms\": [" << joined(t_ms, ", ") << "],\n"
       << "  \"summary\": null,\n"
       << "  \"preprocess_ms\": [],\n"
       << "  \"peak_rss_mb\": " << peak_rss_mb() << ",\n"
       << "  \"ran_on\": [\"cpu\"],\n"  // it is built with XNNPACK and no other delegate
       << "  \"thermal_before\": {\"status\": null, \"celsius\": null},\n"
       << "  \"thermal_after\": {\"status\": null, \"celsius\": null},\n"
       << "  \"versions\": {\"runtime\": \"executorch " MNV4_EXECUTORCH "\"},\n"
       << "  \"conditions\": {";
  if (!options.cores.empty()) json << "\"affinity\": \"" << joined(options.cores, ",") << "\"";
  json << "}\n }\n}\n";
  const std::string text = json.str();
  write(result, text.data(), text.size());
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(parse(argc, argv));
    return 0;
  } catch (const std::exception& error) {
    std::string line = error.what();
    for (char& c : line) {
      if (std::iscntrl(static_cast<unsigned char>(c))) c = ' ';
    }
    std::cerr << "error: " << line << std::endl;
    return 1;
  }
}
