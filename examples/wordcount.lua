-- Counts words in text files and prints the twenty most frequent. Needs no account: the workers
-- are local processes.
--
--   lambdapool run examples/wordcount.lua [FILE...]
--
-- Each file is read and counted by a task of its own; only the counts come back. Without files it
-- counts the licenses that every Debian system has.

local lambdapool = require "lambdapool"

local licenses = "/usr/share/common-licenses/"
local files = #arg > 0 and arg or {
  licenses .. "Apache-2.0", licenses .. "Artistic", licenses .. "BSD", licenses .. "GPL-1",
  licenses .. "GPL-2", licenses .. "GPL-3", licenses .. "LGPL-3", licenses .. "MPL-2.0",
}

-- A letter, or any byte of a letter in UTF-8; apostrophes and hyphens may stand inside a word.
local letter = "[%a\x80-\xff]"
local word_pattern = letter .. "[%a\x80-\xff'-]*"

local function count_words(path)
  local file <close> = assert(io.open(path, "rb"))
  local counts, total = {}, 0
  for word in file:read("a"):lower():gmatch(word_pattern) do
    word = word:gsub("['-]+$", "")
    counts[word] = (counts[word] or 0) + 1
    total = total + 1
  end
  return counts, total
end

-- Adds up what the files hold, as their counts come in.
local counts, total = {}, 0
local pool <close> = lambdapool.pool {}
for _, file_counts, file_total in pool:imap_unordered(count_words, files) do
  total = total + file_total
  for word, count in pairs(file_counts) do
    counts[word] = (counts[word] or 0) + count
  end
end

local words = {}
for word in pairs(counts) do
  words[#words + 1] = word
end
table.sort(words, function(a, b)
  if counts[a] ~= counts[b] then
    return counts[a] > counts[b]
  end
  return a < b
end)

print(("%d words, %d different, in %d files"):format(total, #words, #files))
for i = 1, math.min(20, #words) do
  local count = counts[words[i]]
  print(("%8d  %5.2f %%  %s"):format(count, 100 * count / total, words[i]))
end
