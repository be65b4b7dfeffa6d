// Parses the command line.

#pragma once

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

const char kUsage[] =
    "mnv4-executorch-runner --model FILE --threads N --out DIR\n"
    "    [--cores 4,5] [--warmup W] [--runs R] [--seconds S] [--input FILE]...\n";

// An error of the user, the device or the program; it becomes one line on stderr.
struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Options {
  std::string model;
  std::filesystem::path out;
  std::vector<std::string> inputs;
  std::vector<int> cores;
  int threads = 0;
  // The defaults are those of the plan `quick`.
  int warmup = 10;
  int runs = 50;
  double seconds = 2.0;
};

inline double number(const std::string& flag, const std::string& text, double least, bool whole) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  const bool is_number = !text.empty() && *end == '\0';
  const bool fits = is_number && value >= least && value <= 1e9;
  if (!fits || (whole && value != static_cast<int>(value))) {
    throw Failure(flag + ": found '" + text + "', must be " + (whole ? "an integer" : "a number") +
                  " of " + std::to_string(static_cast<int>(least)) + " or more");
  }
  return value;
}

inline int integer(const std::string& flag, const std::string& text, int least) {
  return static_cast<int>(number(flag, text, least, true));
}

inline Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string flag = argv[i];
    if (flag == "--help") {
      std::cout << kUsage;
      std::exit(0);
    }
    const std::string value = i + 1 < argc ? argv[i + 1] : "";
    if (flag == "--model") {
      options.model = value;
    } else if (flag == "--out") {
      options.out = value;
    } else if (flag == "--input") {
      options.inputs.push_back(value);
    } else if (flag == "--threads") {
      options.threads = integer(flag, value, 1);
    } else if (flag == "--warmup") {
      options.warmup = integer(flag, value, 0);
    } else if (flag == "--runs") {
      options.runs = integer(flag, value, 0);
    } else if (flag == "--seconds") {
      options.seconds = number(flag, value, 0, false);
    } else if (flag == "--cores") {
      std::istringstream parts(value);
      for (std::string part; std::getline(parts, part, ',');) {
        options.cores.push_back(integer(flag, part, 0));
      }
    } else {
      throw Failure(flag + ": unknown flag, allowed: --model, --threads, --out, --cores, "
                           "--warmup, --runs, --seconds, --input");
    }
    if (value.empty()) throw Failure(flag + ": needs a value");
  }
  if (options.model.empty()) throw Failure("--model: missing");
  if (options.out.empty()) throw Failure("--out: missing");
  if (options.threads == 0) throw Failure("--threads: missing");
  return options;
}
