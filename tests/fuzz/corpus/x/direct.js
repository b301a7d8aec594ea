window.YTD.direct_messages.part0 = [
  {
    "dmConversation": {
      "conversationId": "42-25401953",
      "messages": [
        {
          "messageCreate": {
            "recipientId": "42",
            "reactions": [],
            "urls": [],
            "text": "En dit is de laatste 🐦",
            "mediaUrls": [],
            "senderId": "25401953",
            "id": "105",
            "createdAt": "2026-01-01T00:05:00.005Z",
            "editHistory": []
          }
        },
        {
          "messageCreate": {
            "recipientId": "25401953",
            "reactions": [],
            "urls": [],
            "text": "Oud of nieuw?",
            "mediaUrls": [],
            "senderId": "42",
            "id": "104",
            "createdAt": "2026-01-01T00:04:00.004Z",
            "editHistory": [
              {
                "createdAtSec": "1767225840",
                "editedText": "Oud?"
              }
            ]
          }
        },
        {
          "messageCreate": {
            "recipientId": "25401953",
            "reactions": [],
            "urls": [
              {
                "url": "https://t.co/abc",
                "expanded": "https://voorbeeld.nl/nota",
                "display": "voorbeeld.nl/nota"
              }
            ],
            "text": "https://t.co/abc",
            "mediaUrls": [],
            "senderId": "42",
            "id": "103",
            "createdAt": "2026-01-01T00:03:00.003Z",
            "editHistory": []
          }
        }
      ]
    }
  }
]