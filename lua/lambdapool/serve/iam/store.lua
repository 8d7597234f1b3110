--- The tables of IAM: roles, the policies in them, the policies attached to them, and policies of
--- the account. They belong to no region.

local json = require "lambdapool.json"

local iam_store = {}

--- For store:migrate.
iam_store.schema = { [[
  CREATE TABLE iam_roles (
    name TEXT PRIMARY KEY COLLATE NOCASE, id TEXT NOT NULL, path TEXT NOT NULL, arn TEXT NOT NULL,
    trust TEXT NOT NULL, description TEXT, session_seconds INTEGER NOT NULL,
    created INTEGER NOT NULL, tags TEXT NOT NULL);
  CREATE TABLE iam_role_policies (
    role TEXT NOT NULL COLLATE NOCASE REFERENCES iam_roles (name) ON DELETE CASCADE,
    name TEXT NOT NULL, document TEXT NOT NULL, PRIMARY KEY (role, name)) WITHOUT ROWID;
  CREATE TABLE iam_policies (
    arn TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE COLLATE NOCASE, id TEXT NOT NULL,
    path TEXT NOT NULL, document TEXT NOT NULL, description TEXT, created INTEGER NOT NULL,
    tags TEXT NOT NULL);
  CREATE TABLE iam_attachments (
    role TEXT NOT NULL COLLATE NOCASE REFERENCES iam_roles (name) ON DELETE CASCADE,
    arn TEXT NOT NULL, PRIMARY KEY (role, arn)) WITHOUT ROWID;
]] }

--- Tags are kept as JSON, a list of tables with Key and Value.
---@param tags { Key: string, Value: string }[]
---@return string
function iam_store.pack_tags(tags)
  local list = {}
  for i, tag in ipairs(tags) do
    list[i] = { Key = tag.Key, Value = tag.Value or "" }
  end
  return json.encode(json.array(list))
end

---@param text string
---@return { Key: string, Value: string }[]
function iam_store.unpack_tags(text)
  return (json.decode(text))
end

--- The tags with those of `more` added, in place of those with the same key.
---@param text string
---@param more { Key: string, Value: string }[]
---@return string
function iam_store.add_tags(text, more)
  local tags = iam_store.unpack_tags(text)
  for _, new in ipairs(more) do
    local i = 1
    while tags[i] and tags[i].Key ~= new.Key do
      i = i + 1
    end
    tags[i] = new
  end
  return iam_store.pack_tags(tags)
end

--- The tags without those whose keys are listed.
---@param text string
---@param keys string[]
---@return string
function iam_store.remove_tags(text, keys)
  local gone, kept = {}, {}
  for _, key in ipairs(keys) do
    gone[key] = true
  end
  for _, tag in ipairs(iam_store.unpack_tags(text)) do
    if not gone[tag.Key] then
      kept[#kept + 1] = tag
    end
  end
  return iam_store.pack_tags(kept)
end

return iam_store
