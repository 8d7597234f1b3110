--- Comments as text on screens that are narrower than source files.

local gmatch, match, rep, concat = string.gmatch, string.match, string.rep, table.concat

-- Puts the words of a text into lines of up to `width` columns. The first one begins with `head`,
-- the others with as many blanks as `hang` says.
local function wrap(head, text, hang, width)
  local lines, line = {}, head
  local blanks = rep(" ", hang)
  local fresh = true
  for word in gmatch(text, "%S+") do
    if not fresh and #line + 1 + #word > width then
      lines[#lines + 1] = line
      line, fresh = blanks, true
    end
    line = fresh and line .. word or line .. " " .. word
    fresh = false
  end
  lines[#lines + 1] = line
  return concat(lines, "\n")
end

--- A text of comments for a screen of `width` columns: paragraphs and lists are filled anew; other
--- indented lines stay as they are, where there is room.
---@param text string
---@param width integer
---@return string
local function fill(text, width)
  local out, head, words, hang = {}, nil, nil, 0
  local function flush()
    out[#out + 1] = head and wrap(head, words, hang, width)
    head = nil
  end
  for line in gmatch(text .. "\n", "(.-)\n") do
    local indent, rest = match(line, "^(%s*)(.*)$")
    local item, meaning = match(line, "^(%s+%S.-%s%s+)(%S.*)$")
    if head and not item and rest ~= "" and #indent == hang then
      words = words .. " " .. rest
    else
      flush()
      if item then
        head, words, hang = item, meaning, #item
      elseif indent == "" and rest ~= "" then
        head, words, hang = "", rest, 0
      else
        out[#out + 1] = #line > width and wrap(indent, rest, #indent, width) or line
      end
    end
  end
  flush()
  return concat(out, "\n")
end

return { fill = fill }
