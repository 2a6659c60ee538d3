// Package group is the feature of groups: who is a member and with which role,
// the name, description and picture. It owns the member lists of chats; what is
// said in a group is delivered by the core's chat log, as in a direct chat.
//
// What changes a group are packets "group.change", told in grouppb/group.proto.
// They form a graph, because two admins may act at once while apart; a [Graph]
// says what any set of them comes to, the same for everybody.
package group
