--- What the outputs of operations have to be, as far as somebody reads them: an answer of another
--- shape is no answer of AWS, and is refused before anybody stumbles over it.

---@class lambdapool.aws.Shape
---@field kind "string"|"integer"|"list"|"map"|"struct"
---@field of lambdapool.aws.Shape? of lists and maps
---@field members table<string, lambdapool.aws.Shape>? of structures; others may be there, too
---@field required table<string, boolean>? of structures

local STRING <const>, INTEGER <const> = { kind = "string" }, { kind = "integer" }

local function list(of)
  return { kind = "list", of = of }
end

local function map(of)
  return { kind = "map", of = of }
end

-- A structure of texts, those with a "!" being required, and of others.
local function struct(texts, others)
  local members, required = {}, {}
  for name, mark in texts:gmatch "(%w+)(!?)" do
    members[name] = STRING
    required[name] = mark == "!" or nil
  end
  for name, shape in pairs(others or {}) do
    local plain = name:gsub("!$", "")
    members[plain] = shape
    required[plain] = plain ~= name or nil
  end
  return { kind = "struct", members = members, required = required }
end

local CONFIGURATION = struct([[FunctionName! FunctionArn! Runtime Role Handler Description
  LastModified CodeSha256 Version State StateReason StateReasonCode LastUpdateStatus
  LastUpdateStatusReason LastUpdateStatusReasonCode RevisionId PackageType]], {
  Timeout = INTEGER, MemorySize = INTEGER, CodeSize = INTEGER,
  Architectures = list(STRING),
  Environment = struct("", { Variables = map(STRING) }),
  EphemeralStorage = struct("", { Size = INTEGER }),
  Layers = list(struct("Arn!", { CodeSize = INTEGER })),
  LoggingConfig = struct "LogFormat LogGroup",
})

local LAYER_VERSION = struct("LayerVersionArn! Description CreatedDate LicenseInfo", {
  ["Version!"] = INTEGER, CompatibleRuntimes = list(STRING), CompatibleArchitectures = list(STRING),
  Content = struct("Location CodeSha256", { CodeSize = INTEGER }),
})

local TAG = struct "Key! Value!"

local ROLE = struct("RoleName! Arn! Path RoleId AssumeRolePolicyDocument", {
  Tags = list(TAG), MaxSessionDuration = INTEGER,
})

-- One page of a list.
local function page(name, of, token)
  return struct(token, { [name] = list(of) })
end

local SHAPES = {
  lambda = {
    CreateFunction = CONFIGURATION,
    UpdateFunctionCode = CONFIGURATION,
    UpdateFunctionConfiguration = CONFIGURATION,
    GetFunctionConfiguration = CONFIGURATION,
    PublishVersion = CONFIGURATION,
    GetFunction = struct("", {
      ["Configuration!"] = CONFIGURATION, Tags = map(STRING),
      Code = struct "RepositoryType Location",
      Concurrency = struct("", { ReservedConcurrentExecutions = INTEGER }),
    }),
    ListFunctions = page("Functions", CONFIGURATION, "NextMarker"),
    ListVersionsByFunction = page("Versions", CONFIGURATION, "NextMarker"),
    ListTags = struct("", { Tags = map(STRING) }),
    GetPolicy = struct "Policy! RevisionId",
    AddPermission = struct "Statement!",
    ListLayers = page("Layers", struct("LayerName! LayerArn!", {
      LatestMatchingVersion = LAYER_VERSION,
    }), "NextMarker"),
    ListLayerVersions = page("LayerVersions", LAYER_VERSION, "NextMarker"),
    PublishLayerVersion = LAYER_VERSION,
    GetLayerVersion = LAYER_VERSION,
    GetLayerVersionByArn = LAYER_VERSION,
    Invoke = struct("ExecutedVersion FunctionError LogResult Payload RequestId", {
      StatusCode = INTEGER,
    }),
  },
  iam = {
    CreateRole = struct("", { ["Role!"] = ROLE }),
    GetRole = struct("", { ["Role!"] = ROLE }),
    ListRoles = page("Roles", ROLE, "Marker"),
    ListRoleTags = page("Tags", TAG, "Marker"),
    ListRolePolicies = page("PolicyNames", STRING, "Marker"),
    GetRolePolicy = struct "RoleName PolicyName PolicyDocument!",
    ListAttachedRolePolicies = page("AttachedPolicies", struct "PolicyName! PolicyArn!", "Marker"),
    GetUser = struct("", { ["User!"] = struct "Arn!" }),
  },
  sts = {
    GetCallerIdentity = struct "Arn! Account! UserId",
  },
  logs = {
    FilterLogEvents = page("events", struct("logStreamName message eventId", {
      timestamp = INTEGER, ingestionTime = INTEGER,
    }), "nextToken"),
    GetLogEvents = page("events", struct("message", {
      timestamp = INTEGER, ingestionTime = INTEGER,
    }), "nextForwardToken nextBackwardToken"),
    DescribeLogGroups = page("logGroups", struct("logGroupName! arn", {
      creationTime = INTEGER, retentionInDays = INTEGER, storedBytes = INTEGER,
    }), "nextToken"),
    DescribeLogStreams = page("logStreams", struct("logStreamName!", {
      creationTime = INTEGER, lastEventTimestamp = INTEGER,
    }), "nextToken"),
  },
}

-- Checking ------------------------------------------------------------------------------------

local check

local checks = {}

function checks.string(_, value, path)
  return type(value) ~= "string" and path .. " is no text" or nil
end

function checks.integer(_, value, path)
  return (type(value) ~= "number" or not math.tointeger(value)) and path .. " is no integer" or nil
end

function checks.list(shape, value, path)
  local count = 0
  for key, item in pairs(value) do
    count = count + 1
    local problem = math.type(key) ~= "integer" and path .. " is no list"
      or check(shape.of, item, path .. "." .. key)
    if problem then
      return problem
    end
  end
  return count ~= #value and path .. " has gaps" or nil
end

function checks.map(shape, value, path)
  for key, item in pairs(value) do
    local problem = type(key) ~= "string" and path .. " is no object"
      or check(shape.of, item, path .. "." .. key)
    if problem then
      return problem
    end
  end
end

function checks.struct(shape, value, path)
  for name, member in pairs(shape.members) do
    local inner = value[name]
    local problem
    if inner ~= nil then
      problem = check(member, inner, path .. "." .. name)
    elseif shape.required[name] then
      problem = path .. "." .. name .. " is missing"
    end
    if problem then
      return problem
    end
  end
end

function check(shape, value, path)
  if shape.of or shape.members then
    if type(value) ~= "table" then
      return path .. (shape.kind == "list" and " is no list" or " is no object")
    end
  end
  return checks[shape.kind](shape, value, path)
end

local shapes = {}

--- What is wrong with an output, or nil.
---@param service string
---@param operation string
---@param output table
---@return string? message
function shapes.problem(service, operation, output)
  local shape = SHAPES[service] and SHAPES[service][operation]
  return shape and check(shape, output, "output")
end

return shapes
